//! What only our own broker is asked for.

/// What is asked of our own broker beyond what all can do.
#[derive(Clone, Debug)]
pub struct Plan {
    /// the jobs are of so many kinds; 0: none has one
    pub kinds: usize,
    /// each worker takes one kind instead of any
    pub kind_each: bool,
    pub priorities: usize,
    /// so many jobs in a row have the same kind and priority
    pub run: u64,
    /// each job is pushed in a message of its own, as are jobs of which no two in a row are alike
    pub apart: bool,
    pub guarantees: Vec<(u32, u32)>,
    pub timeout_ms: u32,
    pub run_timeout_ms: u32,
    /// workers answer jobs below priority 2 only after this time
    pub hold: bool,
    pub hold_ns: u64,
    /// the priority of the jobs that are submitted now, if they are urgent
    pub urgent: Option<u32>,
}

impl Default for Plan {
    fn default() -> Plan {
        Plan {
            kinds: 0,
            kind_each: false,
            priorities: 1,
            run: 1,
            apart: false,
            guarantees: vec![],
            timeout_ms: 0,
            run_timeout_ms: 0,
            hold: false,
            hold_ns: 0,
            urgent: None,
        }
    }
}

impl Plan {
    pub fn classes(&self) -> usize {
        self.kinds.max(self.priorities)
    }
}
