//! Three-way merge of sequences: no element that a side added is lost, and none that a side took out comes back.

use std::{collections::HashMap, hash::Hash, ops::Range};

use imara_diff::{Algorithm, Diff, InternedInput, Interner};

/// An element of a sequence. Equal ones are the same line or item.
pub(super) trait Element: Copy + Eq + Hash {
    /// Whether it parts what is before it from what is behind: nothing that was added before it may get behind it.
    fn parts(&self) -> bool;
    /// Whether it is but a gap, of which each side may add its own.
    fn is_gap(&self) -> bool;
}

/// Merges two changes of `base`. Where both changed the same place, what is theirs keeps its order, and what ours added
/// there goes behind what it followed, else behind theirs, but before the first of theirs that parts.
pub(super) fn weave<T: Element>(base: &[T], ours: &[T], theirs: &[T]) -> Vec<T> {
    if ours == base || ours == theirs {
        return theirs.to_vec();
    }
    if theirs == base {
        return ours.to_vec();
    }
    let mut sides = [Side::new(base, ours), Side::new(base, theirs)];
    let mut woven = Vec::with_capacity(ours.len().max(theirs.len()));
    let mut at = 0;
    while let Some(cluster) = cluster(&mut sides) {
        let [ours, theirs] = &mut sides;
        woven.extend(ours.take(cluster.range.start - at));
        theirs.take(cluster.range.start - at);
        let old = &base[cluster.range.clone()];
        let (our_part, their_part) =
            (ours.take_part(old.len(), cluster.grown[0]), theirs.take_part(old.len(), cluster.grown[1]));
        match cluster.changed {
            [true, false] => woven.extend(our_part),
            [false, true] => woven.extend(their_part),
            _ => woven.extend(both(old, our_part, their_part)),
        }
        at = cluster.range.end;
    }
    woven.extend(sides[0].take(base.len() - at));
    woven
}

/// A side, how it differs from the base, and how far it is woven.
struct Side<'a, T> {
    all: &'a [T],
    at: usize,
    hunks: Vec<(Range<usize>, usize)>,
    next: usize,
}

impl<'a, T: Element> Side<'a, T> {
    fn new(base: &[T], side: &'a [T]) -> Self {
        let interner = Interner::new(base.len() + side.len());
        let mut input = InternedInput { before: Vec::new(), after: Vec::new(), interner };
        input.update_before(base.iter().copied());
        input.update_after(side.iter().copied());
        let whole = |range: Range<u32>| range.start as usize..range.end as usize;
        let diff = Diff::compute(Algorithm::Histogram, &input);
        let hunks = diff.hunks().map(|hunk| (whole(hunk.before), hunk.after.len())).collect();
        Self { all: side, at: 0, hunks, next: 0 }
    }

    fn hunk(&self) -> Option<&(Range<usize>, usize)> {
        self.hunks.get(self.next)
    }

    fn take(&mut self, number: usize) -> &'a [T] {
        let part = &self.all[self.at..self.at + number];
        self.at += number;
        part
    }

    fn take_part(&mut self, old: usize, grown: isize) -> &'a [T] {
        self.take(old.checked_add_signed(grown).unwrap_or(0))
    }
}

/// A part of the base that sides changed.
struct Cluster {
    range: Range<usize>,
    changed: [bool; 2],
    /// By how many elements each side made it longer.
    grown: [isize; 2],
}

/// The next part that was changed, with all changes that touch each other's elements, or put something at one place.
fn cluster<T: Element>(sides: &mut [Side<'_, T>; 2]) -> Option<Cluster> {
    let first = |side: &Side<'_, T>| side.hunk().map(|(range, _)| (range.start, range.end));
    let starts = [first(&sides[0]), first(&sides[1])];
    let (start, _) = starts.into_iter().flatten().min()?;
    let mut cluster = Cluster { range: start..start, changed: [false; 2], grown: [0; 2] };
    loop {
        let joins = |side: &Side<'_, T>| {
            let (range, _) = side.hunk()?;
            let overlaps = range.start < cluster.range.end;
            let touches = range.start == cluster.range.end && range.is_empty();
            (overlaps || touches).then_some((range.start, range.end))
        };
        let candidates = [joins(&sides[0]), joins(&sides[1])];
        let is_new = cluster.changed == [false; 2];
        let candidates = if is_new { starts } else { candidates };
        let Some(next) = candidates.iter().flatten().min().copied() else { return Some(cluster) };
        let which = usize::from(candidates[0] != Some(next));
        let side = &mut sides[which];
        let (range, length) = side.hunks[side.next].clone();
        side.next += 1;
        cluster.changed[which] = true;
        cluster.grown[which] += length.cast_signed() - range.len().cast_signed();
        cluster.range.end = cluster.range.end.max(range.end);
    }
}

/// Both sides' changes of one part.
fn both<T: Element>(old: &[T], ours: &[T], theirs: &[T]) -> Vec<T> {
    if ours == theirs {
        return theirs.to_vec();
    }
    let [old, our_number, their_number] = [count(old), count(ours), count(theirs)];
    let of = |counts: &HashMap<T, usize>, element: &T| counts.get(element).copied().unwrap_or(0);
    // What ours took out, and theirs did not, goes.
    let mut gone: HashMap<T, usize> = old
        .iter()
        .map(|(element, number)| {
            (*element, of(&their_number, element).min(*number).saturating_sub(of(&our_number, element)))
        })
        .collect();
    let mut woven: Vec<T> = Vec::with_capacity(theirs.len());
    for element in theirs {
        match gone.get_mut(element) {
            Some(number) if *number > 0 => *number -= 1,
            _ => woven.push(*element),
        }
    }
    // What ours added, and theirs did not, comes: behind what it followed.
    let mut places: HashMap<T, Vec<usize>> = HashMap::new();
    for (at, element) in woven.iter().enumerate().rev() {
        places.entry(*element).or_default().push(at);
    }
    let mut kept = old.clone();
    let mut shared: HashMap<T, usize> =
        their_number.iter().map(|(element, number)| (*element, number.saturating_sub(of(&old, element)))).collect();
    let mut behind: Vec<Vec<T>> = vec![Vec::new(); woven.len()];
    let mut loose = Vec::new();
    let mut anchor = None;
    for (at, element) in ours.iter().enumerate() {
        // A gap is the other side's as well only if what follows it is.
        let is_known = take_one(&mut kept, element) || {
            let next = ours[at..].iter().find(|next| !next.is_gap()).unwrap_or(element);
            [&kept, &shared].iter().any(|counts| of(counts, next) > 0) && take_one(&mut shared, element)
        };
        if is_known {
            anchor = places.get_mut(element).and_then(Vec::pop).or(anchor);
        } else {
            anchor.map_or(&mut loose, |at: usize| &mut behind[at]).push(*element);
        }
    }
    let loose_end = before_parting(&loose);
    let parting = before_parting(&woven);
    let mut result = Vec::with_capacity(woven.len() + ours.len());
    for (at, element) in woven.iter().enumerate() {
        if at == parting {
            result.extend(&loose[..loose_end]);
        }
        result.push(*element);
        result.append(&mut behind[at]);
    }
    if parting == woven.len() {
        result.extend(&loose[..loose_end]);
    }
    result.extend(&loose[loose_end..]);
    result
}

fn count<T: Element>(elements: &[T]) -> HashMap<T, usize> {
    let mut counts = HashMap::with_capacity(elements.len());
    for element in elements {
        *counts.entry(*element).or_default() += 1;
    }
    counts
}

fn take_one<T: Element>(counts: &mut HashMap<T, usize>, element: &T) -> bool {
    counts.get_mut(element).filter(|number| **number > 0).map(|number| *number -= 1).is_some()
}

/// Where the first element that parts stands, with the gaps before it.
fn before_parting<T: Element>(elements: &[T]) -> usize {
    let at = elements.iter().position(Element::parts).unwrap_or(elements.len());
    if at == elements.len() {
        return at;
    }
    at - elements[..at].iter().rev().take_while(|element| element.is_gap()).count()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    impl Element for char {
        fn parts(&self) -> bool {
            matches!(*self, '#' | '%')
        }

        fn is_gap(&self) -> bool {
            *self == '_'
        }
    }

    fn woven(base: &str, ours: &str, theirs: &str) -> String {
        let [base, ours, theirs] = [base, ours, theirs].map(|text| text.chars().collect::<Vec<_>>());
        weave(&base, &ours, &theirs).into_iter().collect()
    }

    #[test]
    fn changes_of_both_sides_come_together() {
        for (base, ours, theirs, expected) in [
            ("abc", "abc", "axc", "axc"),
            ("abc", "axc", "abc", "axc"),
            ("abcd", "xbcd", "abcy", "xbcy"),
            ("abcd", "bcd", "abc", "bc"),
            ("abcd", "abxcd", "abycd", "abyxcd"),
            ("abcd", "abxcd", "abxcd", "abxcd"),
            ("abcd", "axcd", "aycd", "ayxcd"),
            ("abcd", "acd", "acd", "acd"),
            ("abcd", "axbcd", "acd", "axcd"),
            ("abcd", "cdab", "abcdx", "cdxab"),
            ("ab", "abx", "ab_#y", "abx_#y"),
            ("ab", "ab_#x", "aby", "aby_#x"),
            ("ab", "ab_#x", "ab_#y", "ab_#xy"),
            ("ab", "ab_#x", "ab_%y", "ab_%y_#x"),
            ("ab", "abp_#x", "abq_%y", "abqp_%y_#x"),
            ("ab", "ax", "a_#y", "ax_#y"),
            ("", "x", "y", "yx"),
        ] {
            assert_eq!(woven(base, ours, theirs), expected, "{base} {ours} {theirs}");
        }
    }

    fn sorted(text: impl Iterator<Item = char>) -> String {
        let mut chars: Vec<_> = text.collect();
        chars.sort_unstable();
        chars.into_iter().collect()
    }

    proptest! {
        /// Over sequences without repetition a merge is the merge of sets.
        #[test]
        fn it_is_the_merge_of_sets(
            base in Just(('a'..='l').collect::<String>()).prop_shuffle_text(),
            ours in prop::collection::vec((0_usize..13, any::<bool>()), 0..6),
            theirs in prop::collection::vec((0_usize..13, any::<bool>()), 0..6),
        ) {
            let edit = |edits: &[(usize, bool)], new: char| {
                let mut text: Vec<char> = base.chars().collect();
                for (n, (at, is_new)) in edits.iter().enumerate() {
                    let at = (*at).min(text.len().saturating_sub(1));
                    if *is_new { text.insert(at, char::from_u32(new as u32 + u32::try_from(n).unwrap()).unwrap()) } else { text.remove(at); }
                }
                text.into_iter().collect::<String>()
            };
            let (ours, theirs) = (edit(&ours, 'A'), edit(&theirs, 'M'));
            let merged = woven(&base, &ours, &theirs);
            let stays = |char: &char| (ours.contains(*char) || !base.contains(*char)) && (theirs.contains(*char) || !base.contains(*char));
            let expected = sorted(base.chars().filter(stays).chain(ours.chars().filter(char::is_ascii_uppercase)).chain(theirs.chars().filter(char::is_ascii_uppercase)));
            prop_assert_eq!(sorted(merged.chars()), expected, "{} {} {} -> {}", base, ours, theirs, merged);
        }
    }

    trait Shuffle {
        fn prop_shuffle_text(self) -> BoxedStrategy<String>;
    }

    impl Shuffle for Just<String> {
        fn prop_shuffle_text(self) -> BoxedStrategy<String> {
            Just(self.0.chars().collect::<Vec<_>>())
                .prop_shuffle()
                .prop_map(|chars| chars.into_iter().collect())
                .boxed()
        }
    }
}
