//! Whole cents by weight: largest remainder, in integers only.
//!
//! Each part gets the floor of its exact share; the cents left over go one each to the largest fractions, the earlier part
//! first where fractions are equal. A negative amount is split as its opposite and turned round, so that a reversal takes
//! back exactly what was given.

use std::cmp::Reverse;

/// Splits `cents` by `weights`; the parts sum to `cents` exactly. None when no weight is positive, so that nobody can be
/// given anything.
pub fn split(cents: i64, weights: &[u64]) -> Option<Vec<i64>> {
    let whole: u128 = weights.iter().map(|weight| u128::from(*weight)).sum();
    if whole == 0 {
        return None;
    }
    let size = u128::from(cents.unsigned_abs());
    // A size below 2^64 times a weight below 2^64 fits.
    let exact = |weight: &u64| size * u128::from(*weight);
    let mut parts: Vec<u64> = weights.iter().map(|weight| (exact(weight) / whole) as u64).collect();
    let left = cents.unsigned_abs() - parts.iter().sum::<u64>();
    if left > 0 {
        let mut order: Vec<(Reverse<u128>, usize)> =
            weights.iter().enumerate().map(|(at, weight)| (Reverse(exact(weight) % whole), at)).collect();
        order.sort_unstable();
        // Fewer cents are left than there are parts with a fraction.
        for (_, at) in order.iter().take(left as usize) {
            parts[*at] += 1;
        }
    }
    let signed = |part: u64| if cents < 0 { 0_i64.wrapping_sub_unsigned(part) } else { part as i64 };
    Some(parts.into_iter().map(signed).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn left_over_cents_go_to_the_largest_fractions_then_the_earlier_part() {
        assert_eq!(split(10_000, &[1, 1, 1]), Some(vec![3_334, 3_333, 3_333]));
        assert_eq!(split(100, &[2, 1, 2]), Some(vec![40, 20, 40]));
        // 0.8, 0.4, 0.8 of two cents: the two large fractions win over the order.
        assert_eq!(split(2, &[2, 1, 2]), Some(vec![1, 0, 1]));
        assert_eq!(split(1, &[1, 3]), Some(vec![0, 1]));
        assert_eq!(split(-10_000, &[1, 1, 1]), Some(vec![-3_334, -3_333, -3_333]));
        assert_eq!(split(0, &[5, 6]), Some(vec![0, 0]));
        assert_eq!(split(7, &[0, 3, 0]), Some(vec![0, 7, 0]));
    }

    #[test]
    fn nobody_to_give_to_is_said() {
        assert_eq!(split(5, &[]), None);
        assert_eq!(split(5, &[0, 0]), None);
    }

    #[test]
    fn the_ends_of_the_range_split_too() {
        for cents in [i64::MAX, i64::MIN] {
            let parts = split(cents, &[u64::MAX, 1, u64::MAX]).unwrap();
            assert_eq!(parts.iter().map(|part| i128::from(*part)).sum::<i128>(), i128::from(cents));
        }
    }

    proptest! {
        #[test]
        fn parts_sum_to_the_amount_and_stay_within_a_cent(
            cents: i64,
            weights in prop::collection::vec(0_u64..1 << 62, 1..40),
        ) {
            let whole: u128 = weights.iter().map(|weight| u128::from(*weight)).sum();
            prop_assume!(whole > 0);
            let parts = split(cents, &weights).unwrap();
            prop_assert_eq!(parts.iter().map(|part| i128::from(*part)).sum::<i128>(), i128::from(cents));
            for (part, weight) in parts.iter().zip(&weights) {
                let floor = u128::from(cents.unsigned_abs()) * u128::from(*weight) / whole;
                let over = u128::from(part.unsigned_abs()).checked_sub(floor);
                prop_assert!(matches!(over, Some(0 | 1)));
                prop_assert!(*weight > 0 || *part == 0);
            }
        }
    }
}
