//! The client: hands jobs in and gets their outcomes.

pub mod machine;
