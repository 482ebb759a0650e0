//! When a connection is too old (gRFC A9).

use std::time::Duration;

/// The age at which one connection ends: `age`, give or take a tenth, by a seed of its own.
pub fn jittered(age: Duration, seed: u64) -> Duration {
    // The upper 53 bits, so that the number is exact.
    let unit = (seed >> 11) as f64 / (1_u64 << 53) as f64;
    let factor = 0.9 + 0.2 * unit;
    Duration::try_from_secs_f64(age.as_secs_f64() * factor).unwrap_or(Duration::MAX)
}

#[cfg(test)]
mod tests {
    use std::hash::{BuildHasher as _, RandomState};

    use super::*;

    /// S4-66: 1,000 connections of one moment do not end in one second.
    #[test]
    fn s4_66_a_thousand_connections_of_one_moment_end_over_a_fifth_of_their_age() {
        let age = Duration::from_secs(1000);
        let seeds = RandomState::new();
        let ends: Vec<_> = (0..1000_u64)
            .map(|connection| jittered(age, seeds.hash_one(connection)))
            .collect();
        let mut per_second = [0; 201];
        for end in ends {
            let bounds = Duration::from_secs(900)..=Duration::from_secs(1100);
            assert!(bounds.contains(&end), "{end:?} is not within a tenth");
            per_second[(end.as_secs() - 900) as usize] += 1;
        }
        let most = per_second.iter().max().expect("there are seconds");
        assert!(*most < 40, "{most} of 1000 end in one second, of 200");
        let quiet = per_second
            .chunks(20)
            .take(10)
            .any(|part| part.iter().sum::<i32>() < 40);
        assert!(!quiet, "they are spread evenly: {per_second:?}");
    }

    #[test]
    fn the_ends_of_the_range_are_exact_and_no_age_overflows() {
        let age = Duration::from_secs(100);
        assert_eq!(jittered(age, 0), Duration::from_secs(90));
        let most = jittered(age, u64::MAX);
        let least = Duration::from_millis(109_999);
        assert!(
            (least..=Duration::from_secs(110)).contains(&most),
            "{most:?}"
        );
        assert_eq!(jittered(Duration::MAX, u64::MAX), Duration::MAX);
    }
}
