//! Which returns are credited, and what a period lacks of its minimum.

use super::contract::{Returns, Terms};
use crate::domain::time::{MICROS_PER_DAY, Timestamp};

/// A return that a seller asks for.
#[derive(Debug, Clone, Copy)]
pub struct ReturnAsked<'a> {
    /// Why.
    pub reason: &'a str,
    /// When the billable event happened.
    pub billed: Timestamp,
    /// When it was given back.
    pub returned: Timestamp,
    /// What was billed and not credited yet, in micro-units.
    pub left: i64,
    /// What is asked for; none: all that is left.
    pub amount: Option<i64>,
}

/// What the seller was billed and credited in the period of the billable event, in micro-units.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ReturnTotals {
    /// Billed.
    pub billed: i64,
    /// Credited for returns.
    pub credited: i64,
}

/// Why a return is not credited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReturnRefusal {
    /// The contract knows no returns.
    NotAgreed,
    /// It was credited already.
    NothingLeft,
    /// The cap on returns is used up.
    RateCap,
    /// The reason is not agreed.
    Reason,
    /// Too late, or before the sale.
    Window,
}

impl ReturnRefusal {
    /// Reason code.
    pub const fn code(self) -> &'static str {
        match self {
            ReturnRefusal::NotAgreed => "RETURNS_NOT_AGREED",
            ReturnRefusal::NothingLeft => "RETURN_NOTHING_LEFT",
            ReturnRefusal::RateCap => "RETURN_RATE_CAP",
            ReturnRefusal::Reason => "RETURN_REASON",
            ReturnRefusal::Window => "RETURN_WINDOW",
        }
    }
}

/// What is credited for a return: never more than the sale has left. A return that the cap does not hold whole is refused whole.
///
/// # Errors
/// [`ReturnRefusal`], the first that speaks against it.
pub fn return_judged(
    terms: Option<&Terms>,
    asked: &ReturnAsked<'_>,
    totals: ReturnTotals,
) -> Result<i64, ReturnRefusal> {
    let agreed: &Returns = terms.and_then(|terms| terms.returns.as_ref()).ok_or(ReturnRefusal::NotAgreed)?;
    if !agreed.reasons.contains(asked.reason) {
        return Err(ReturnRefusal::Reason);
    }
    let waited = asked.returned.micros_since(asked.billed);
    if waited < 0 || waited > agreed.days.saturating_mul(MICROS_PER_DAY) {
        return Err(ReturnRefusal::Window);
    }
    let amount = asked.amount.unwrap_or(asked.left).min(asked.left);
    if amount <= 0 {
        return Err(ReturnRefusal::NothingLeft);
    }
    if let Some(rate) = agreed.rate_millionths {
        // In 128 bits: a product of two 64-bit amounts fits.
        let (credited, billed) = (i128::from(totals.credited) + i128::from(amount), i128::from(totals.billed));
        if credited * 1_000_000 > billed * i128::from(rate) {
            return Err(ReturnRefusal::RateCap);
        }
    }
    Ok(amount)
}

/// What a period lacks of the least that it costs.
pub fn true_up(terms: Option<&Terms>, billed: i64) -> i64 {
    let least = terms.and_then(|terms| terms.minimum).map_or(0, |(_, amount)| amount);
    least.saturating_sub(billed).max(0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::Contract;
    use super::*;

    fn terms(rate: &str) -> Terms {
        let text = format!(
            "pack='pricing'\nversion='1'\n[[terms]]\nseller='a'\ncurrency='USD'\nminimum={{period='month',amount='100.00'}}\nreturns={{reasons=['duplicate'],days=14,rate_percent='{rate}'}}"
        );
        Contract::parse(&text).unwrap().terms.remove("a").unwrap()
    }

    fn asked(reason: &str, days: i64, left: i64, amount: Option<i64>) -> ReturnAsked<'_> {
        let returned = Timestamp::from_micros(days * MICROS_PER_DAY);
        ReturnAsked { reason, billed: Timestamp::from_micros(0), returned, left, amount }
    }

    #[test]
    fn each_limit_of_returns_refuses_with_its_reason() {
        let totals = ReturnTotals { billed: 1_000, credited: 60 };
        let terms = terms("10");
        let judge = |asked| return_judged(Some(&terms), &asked, totals);
        assert_eq!(judge(asked("duplicate", 14, 40, None)), Ok(40), "on the last day, and up to the cap");
        assert_eq!(judge(asked("duplicate", 15, 40, None)), Err(ReturnRefusal::Window));
        assert_eq!(judge(asked("duplicate", -1, 40, None)), Err(ReturnRefusal::Window));
        assert_eq!(judge(asked("other", 1, 40, None)), Err(ReturnRefusal::Reason));
        assert_eq!(judge(asked("duplicate", 1, 0, None)), Err(ReturnRefusal::NothingLeft));
        assert_eq!(judge(asked("duplicate", 1, 41, None)), Err(ReturnRefusal::RateCap));
        assert_eq!(return_judged(None, &asked("duplicate", 1, 40, None), totals), Err(ReturnRefusal::NotAgreed));
    }

    #[test]
    fn a_period_is_billed_its_minimum_and_no_more() {
        let terms = terms("10");
        assert_eq!(true_up(Some(&terms), 40_000_000), 60_000_000);
        assert_eq!(true_up(Some(&terms), 100_000_000), 0);
        assert_eq!(true_up(Some(&terms), 140_000_000), 0);
        assert_eq!(true_up(None, 0), 0);
    }

    proptest! {
        #[test]
        fn returns_never_exceed_the_sale(left in 0_i64..1 << 50, amount: i64, billed in 0_i64..1 << 50) {
            let totals = ReturnTotals { billed, credited: 0 };
            if let Ok(credited) = return_judged(Some(&terms("100")), &asked("duplicate", 1, left, Some(amount)), totals) {
                prop_assert!(credited > 0 && credited <= left && credited <= billed);
            }
        }
    }
}
