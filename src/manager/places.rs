//! Which connection carries which session.
//!
//! Peer ids are counted upwards and never used again, so the table is dense: pages of a few hundred ids, given back when
//! the last session of a page is over. A look-up is two loads; what stays behind of a session is 8 bytes for some
//! hundred of them.

use proletariat_protocol::PeerId;

const PAGE_IDS: u64 = 256;
/// No connection.
const NOWHERE: u32 = u32::MAX;

/// From peer id to the place of its connection.
#[derive(Debug, Default)]
pub(super) struct Places {
    pages: Vec<Option<Box<Page>>>,
    last: u64,
}

#[derive(Debug)]
struct Page {
    places: [u32; PAGE_IDS as usize],
    used: u32,
}

impl Places {
    /// The next id, from 1, for the connection at this place.
    pub(super) fn admit(&mut self, place: u32) -> PeerId {
        assert!(place != NOWHERE, "this place stands for none");
        self.last += 1;
        let (page, entry) = Self::split(PeerId(self.last));
        if page >= self.pages.len() {
            self.pages.resize_with(page + 1, || None);
        }
        let page = self.pages[page]
            .get_or_insert_with(|| Box::new(Page { places: [NOWHERE; PAGE_IDS as usize], used: 0 }));
        page.places[entry] = place;
        page.used += 1;
        PeerId(self.last)
    }

    /// Where a session is; none if it is over.
    pub(super) fn find(&self, peer: PeerId) -> Option<u32> {
        let (page, entry) = Self::split(peer);
        let place = self.pages.get(page)?.as_ref()?.places[entry];
        (place != NOWHERE).then_some(place)
    }

    /// A session is over.
    pub(super) fn dismiss(&mut self, peer: PeerId) {
        let (index, entry) = Self::split(peer);
        let Some(slot) = self.pages.get_mut(index) else { return };
        let Some(page) = slot else { return };
        if page.places[entry] == NOWHERE {
            return;
        }
        page.places[entry] = NOWHERE;
        page.used -= 1;
        if page.used == 0 {
            *slot = None;
        }
    }

    fn split(peer: PeerId) -> (usize, usize) {
        let page = usize::try_from(peer.0 / PAGE_IDS).unwrap_or(usize::MAX);
        let entry = usize::try_from(peer.0 % PAGE_IDS).expect("less than a page");
        (page, entry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_are_found_until_they_are_over() {
        let mut places = Places::default();
        let peers: Vec<PeerId> = (0..1_000).map(|place| places.admit(place)).collect();
        assert_eq!(peers[0], PeerId(1));
        for (place, &peer) in peers.iter().enumerate() {
            assert_eq!(places.find(peer), u32::try_from(place).ok());
        }
        for &peer in &peers[..999] {
            places.dismiss(peer);
            places.dismiss(peer);
            assert_eq!(places.find(peer), None);
        }
        assert_eq!(places.pages.iter().flatten().count(), 1, "pages without sessions are given back");
        assert_eq!(places.find(peers[999]), Some(999));
        assert_eq!(places.find(PeerId(u64::MAX)), None);
        assert_eq!(places.admit(0), PeerId(1_001));
    }
}
