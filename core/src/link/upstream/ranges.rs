//! Numbers as ranges.

use alloc::vec::Vec;

use headwater_proto::v1;

/// The fewest ranges that hold exactly these numbers, in order. Leaves `numbers` empty.
pub(super) fn take_ranges(numbers: &mut Vec<u64>) -> Vec<v1::Range> {
    numbers.sort_unstable();
    let mut ranges: Vec<v1::Range> = Vec::new();
    for number in numbers.drain(..) {
        match ranges.last_mut() {
            Some(last) if number <= last.to.saturating_add(1) => last.to = number.max(last.to),
            Some(_) | None => ranges.push(v1::Range {
                from: number,
                to: number,
            }),
        }
    }
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_and_repeats_share_a_range() {
        let mut numbers = alloc::vec![9, 2, 3, 1, 3, 7, u64::MAX];
        let ranges: Vec<(u64, u64)> = take_ranges(&mut numbers)
            .iter()
            .map(|range| (range.from, range.to))
            .collect();
        assert_eq!(ranges, [(1, 3), (7, 7), (9, 9), (u64::MAX, u64::MAX)]);
        assert!(numbers.is_empty());
    }
}
