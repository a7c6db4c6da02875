//! The names of kinds, each stored once while anybody uses it.

use super::{KindKey, Slab};
use alloc::sync::Arc;
use foldhash::quality::FixedState;
use hashbrown::HashMap;

/// Stands for jobs without a kind: only workers that offer any kind take them.
pub(crate) const NO_KIND: KindKey = KindKey::NONE;

#[derive(Debug)]
struct Row {
    name: Arc<str>,
    uses: u32,
}

/// Counts who uses a name; a name that nobody uses is forgotten, so hostile names cannot pile up.
#[derive(Debug)]
pub(crate) struct KindTable {
    rows: Slab<KindKey, Row>,
    by_name: HashMap<Arc<str>, KindKey, FixedState>,
}

impl KindTable {
    /// `seed` keeps to itself which names meet in one place of the table.
    pub(crate) const fn new(seed: u64) -> Self {
        Self { rows: Slab::new(), by_name: HashMap::with_hasher(FixedState::with_seed(seed)) }
    }

    /// Gives back the room that is not in use.
    pub(crate) fn shrink(&mut self) {
        self.by_name.shrink_to_fit();
    }

    /// The key of a name, used once more.
    pub(crate) fn acquire(&mut self, name: &str) -> KindKey {
        if let Some(&key) = self.by_name.get(name) {
            self.rows[key].uses += 1;
            return key;
        }
        let name: Arc<str> = Arc::from(name);
        let key = self.rows.insert(Row { name: Arc::clone(&name), uses: 1 });
        self.by_name.insert(name, key);
        key
    }

    /// One more use of a key.
    pub(crate) fn retain(&mut self, key: KindKey) {
        if key != NO_KIND {
            self.rows[key].uses += 1;
        }
    }

    /// So many more uses of a key.
    pub(crate) fn retain_often(&mut self, key: KindKey, uses: u64) {
        if key != NO_KIND {
            self.rows[key].uses += u32::try_from(uses).expect("the jobs of one message");
        }
    }

    /// One use less.
    #[inline]
    pub(crate) fn release(&mut self, key: KindKey) {
        if key != NO_KIND {
            self.release_named(key);
        }
    }

    fn release_named(&mut self, key: KindKey) {
        let row = &mut self.rows[key];
        row.uses -= 1;
        if row.uses == 0 {
            let row = self.rows.remove(key).expect("it was there a line ago");
            self.by_name.remove(&row.name);
        }
    }

    /// How many names are in use.
    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// The name; `None` for no kind.
    pub(crate) fn name(&self, key: KindKey) -> Option<&Arc<str>> {
        self.rows.get(key).map(|row| &row.name)
    }
}
