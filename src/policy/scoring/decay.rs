//! Halving by age in integers: floating point would make the last point depend on the machine.

/// 2^32 times 2^(-1/2), 2^(-1/4), and so on: what each binary digit of a fraction of a half-life leaves.
const ROOTS: [u64; 16] = [
    3_037_000_500,
    3_611_622_603,
    3_938_502_376,
    4_112_874_773,
    4_202_935_003,
    4_248_701_965,
    4_271_771_996,
    4_283_353_945,
    4_289_156_690,
    4_292_061_010,
    4_293_513_907,
    4_294_240_540,
    4_294_603_903,
    4_294_785_595,
    4_294_876_445,
    4_294_921_870,
];

/// Points that are left of `points` at `age` seconds, halved every `half_life` seconds; rounded to the nearest, halves away from 0.
pub(super) fn decayed(points: i64, age: u64, half_life: u64) -> i64 {
    let halves = age.checked_div(half_life).unwrap_or(0);
    // Points are below 2^20: nothing is left of them.
    if halves >= 32 {
        return 0;
    }
    let rest = u128::from(age.checked_rem(half_life).unwrap_or(0));
    // The fraction of a half-life in 1/65,536.
    let fraction = (rest << 16).checked_div(u128::from(half_life)).unwrap_or(0);
    let mut left: u128 = 1 << 32;
    for (digit, root) in (0..16u32).rev().zip(ROOTS) {
        if fraction >> digit & 1 == 1 {
            left = (left * u128::from(root)) >> 32;
        }
    }
    let scaled = u128::from(points.unsigned_abs()) * left;
    let shift = 32 + halves;
    let rounded = (scaled + (1u128 << (shift - 1))) >> shift;
    let size = i64::try_from(rounded).unwrap_or(i64::MAX);
    if points < 0 { -size } else { size }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_halve_with_each_half_life() {
        let left: Vec<i64> = (0..6).map(|halves| decayed(40, halves * 86_400, 86_400)).collect();
        assert_eq!(left, [40, 20, 10, 5, 3, 1], "2.5 rounds away from zero");
        assert_eq!((decayed(-40, 86_400, 86_400), decayed(-5, 86_400, 86_400)), (-20, -3));
        assert_eq!((decayed(1_000, 0, 60), decayed(100_000, u64::MAX, 1)), (1_000, 0));
    }

    #[test]
    fn half_a_half_life_leaves_one_over_the_root_of_two() {
        assert_eq!(decayed(100_000, 500, 1_000), 70_711);
        assert_eq!(decayed(100_000, 250, 1_000), 84_090);
        assert_eq!(decayed(100_000, 750, 1_000), 59_460);
    }

    #[test]
    fn nothing_grows_with_age() {
        let left: Vec<i64> = (0..20_000u64).map(|age| decayed(100_000, age * 7, 9_973)).collect();
        assert!(left.windows(2).all(|pair| pair[0] >= pair[1]));
    }
}
