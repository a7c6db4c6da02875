use super::*;
use crate::tables::PeerKey;
use alloc::collections::BTreeMap;
use alloc::vec;
use proletariat_protocol::PeerId;
use proptest::prelude::*;
use rand::SeedableRng;

/// The same, the plain way: each worker's bounds and weights.
type Plain = BTreeMap<Spot, (Vec<u32>, Vec<u32>)>;

fn weight(plain: &Plain, priority: u32, spot: Spot) -> u32 {
    let (bounds, weights) = &plain[&spot];
    weights[bounds.iter().rposition(|bound| *bound <= priority).expect("0 is the first of them")]
}

fn compare(classes: &Classes, plain: &Plain, priority: u32) -> Result<(), TestCaseError> {
    let open: Vec<(Spot, u32)> = plain
        .keys()
        .map(|spot| (*spot, weight(plain, priority, *spot)))
        .filter(|(_, weight)| *weight > 0)
        .collect();
    let total: u64 = open.iter().map(|(_, weight)| u64::from(*weight)).sum();
    prop_assert_eq!(classes.total(priority), total);
    let largest = open.iter().map(|(_, weight)| *weight).max();
    prop_assert_eq!(classes.heaviest(priority).map(|(_, weight)| weight), largest);
    if let Some((spot, weight)) = classes.heaviest(priority) {
        prop_assert!(open.contains(&(spot, weight)));
    }
    // Each unit of weight is somebody's, and each has as many as its weight.
    let mut units: BTreeMap<Spot, u32> = BTreeMap::new();
    for at in 0..total {
        let Holder { spot, member, weight, rest } = classes.draw(priority, |_| at).expect("there is some");
        prop_assert_eq!(classes.member(spot), Some(member));
        prop_assert_eq!(classes.weight(priority, spot), weight);
        let before = units.entry(spot).or_default();
        prop_assert_eq!(rest, u64::from(*before), "the units of a worker lie one after the other");
        *before += 1;
    }
    if total == 0 {
        prop_assert!(classes.draw(priority, |_| 0).is_none());
    }
    prop_assert_eq!(units, open.iter().copied().collect::<BTreeMap<_, _>>());
    // Who gets a share has as much, nobody gets two, and all that is drawn is shared out.
    let left = |spot: &Spot| (classes.member(*spot).expect("it is here").key, weight(plain, priority, *spot));
    let left: BTreeMap<PeerKey, u32> = open.iter().map(|(spot, _)| left(spot)).collect();
    let mut random = Random::seed_from_u64(total);
    for (draws, all) in [(total as usize / 2, false), (total as usize, true)] {
        let shares = classes.share(priority, draws, &mut random);
        prop_assert_eq!(shares.iter().map(|(_, share)| share).sum::<usize>(), draws);
        let mut whole = left.clone();
        for (worker, share) in shares {
            let has = whole.remove(&worker).expect("a share of its own for who has weight");
            prop_assert!((1..=has as usize).contains(&share) && (!all || share == has as usize));
        }
    }
    // The round comes by each once, in order.
    let mut round = Vec::new();
    let mut last = None;
    while let Some(next) = classes.next_after(priority, last) {
        round.push(next);
        last = Some(next);
    }
    prop_assert_eq!(&round, &open.iter().map(|(spot, _)| *spot).collect::<Vec<_>>());
    prop_assert_eq!(classes.open_spots(priority).collect::<Vec<_>>(), round);
    let lower = (0..=priority).rev().find(|p| plain.keys().any(|spot| weight(plain, *p, *spot) > 0));
    prop_assert_eq!(classes.open_up_to(priority), lower);
    Ok(())
}

#[derive(Clone, Debug)]
enum Change {
    Enter(Vec<u32>),
    Leave(prop::sample::Index),
    Set(prop::sample::Index, u32, u32),
}

fn bounds() -> impl Strategy<Value = Vec<u32>> {
    prop::collection::btree_set(1_u32..60, 0..4).prop_map(|bounds| {
        let mut all = vec![0];
        all.extend(bounds);
        all
    })
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        3 => bounds().prop_map(Change::Enter),
        2 => any::<prop::sample::Index>().prop_map(Change::Leave),
        6 => (any::<prop::sample::Index>(), 0_u32..4, 0_u32..4)
            .prop_map(|(who, range, weight)| Change::Set(who, range, weight)),
    ]
}

proptest! {
    #[test]
    fn classes_agree_with_a_plain_list(
        changes in prop::collection::vec(change(), 1..400),
        priority in 0_u32..64,
    ) {
        let (mut classes, mut plain) = (Classes::default(), Plain::new());
        for (step, change) in changes.into_iter().enumerate() {
            match change {
                Change::Enter(bounds) => {
                    let member = Member { id: PeerId(step as u64), key: PeerKey(step as u32) };
                    let spot = classes.enter(&bounds, member);
                    prop_assert_eq!(classes.member(spot), Some(member));
                    let none = vec![0; bounds.len()];
                    prop_assert!(plain.insert(spot, (bounds, none)).is_none());
                }
                Change::Leave(who) if !plain.is_empty() => {
                    let spot = *who.get(&plain.keys().copied().collect::<Vec<_>>());
                    classes.leave(spot);
                    plain.remove(&spot);
                    prop_assert_eq!(classes.member(spot), None);
                }
                Change::Set(who, range, weight) if !plain.is_empty() => {
                    let spot = *who.get(&plain.keys().copied().collect::<Vec<_>>());
                    let weights = &mut plain.get_mut(&spot).expect("one of them").1;
                    let range = range as usize % weights.len();
                    let before = core::mem::replace(&mut weights[range], weight);
                    prop_assert_eq!(classes.weigh(spot, weights), weight > before);
                    if weights[range] > 1 {
                        classes.took(spot, range, weights[range] - 1);
                        weights[range] = 1;
                    }
                }
                Change::Leave(_) | Change::Set(..) => {}
            }
            prop_assert_eq!(classes.is_empty(), plain.is_empty());
            compare(&classes, &plain, (priority + step as u32) % 64)?;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    /// Where nearly nobody has room, what is open for a priority lies far from it in the index.
    #[test]
    fn little_room_is_found_among_many_classes(
        all in prop::collection::vec(bounds(), 20..40),
        changes in prop::collection::vec((any::<prop::sample::Index>(), 0_usize..4), 1..30),
    ) {
        let (mut classes, mut plain) = (Classes::default(), Plain::new());
        for (number, bounds) in (0_u32..).zip(all) {
            let spot = classes.enter(&bounds, Member { id: PeerId(number.into()), key: PeerKey(number) });
            let none = vec![0; bounds.len()];
            plain.insert(spot, (bounds, none));
        }
        for (who, range) in changes {
            let spot = *who.get(&plain.keys().copied().collect::<Vec<_>>());
            let weights = &mut plain.get_mut(&spot).expect("one of them").1;
            let range = range % weights.len();
            weights[range] = 1 - weights[range];
            classes.weigh(spot, weights);
            for priority in 0..64 {
                compare(&classes, &plain, priority)?;
            }
        }
    }
}

#[test]
fn few_classes_are_loose_and_many_are_indexed() {
    let mut classes = Classes::default();
    let mut spots = Vec::new();
    let mut enter = |classes: &mut Classes, count: u32| {
        for _ in 0..count {
            let number = spots.len() as u32 + 1;
            let member = Member { id: PeerId(number.into()), key: PeerKey(number) };
            spots.push(classes.enter(&[0, number], member));
        }
        spots.clone()
    };
    let state = |classes: &Classes| (classes.loose.len(), classes.index.is_some(), classes.void);
    enter(&mut classes, 16);
    assert_eq!(state(&classes), (16, false, 0));
    enter(&mut classes, 1);
    assert_eq!(state(&classes), (0, true, 0));
    enter(&mut classes, 16);
    assert_eq!(state(&classes), (16, true, 0), "who comes later is loose again");
    let spots = enter(&mut classes, 1);
    assert_eq!(state(&classes), (0, true, 0));
    let (gone, left) = spots.split_at(17);
    gone.iter().for_each(|spot| classes.leave(*spot));
    assert_eq!(state(&classes), (0, true, 17), "as many are void as are not");
    classes.leave(left[0]);
    assert_eq!(state(&classes), (16, false, 0), "few are left");
    classes.leave(left[1]);
    assert_eq!(state(&classes), (15, false, 0), "a loose one leaves nothing void");
}
