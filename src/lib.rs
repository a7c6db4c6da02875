pub mod net;
pub mod worker;
