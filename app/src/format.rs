//! Numbers for people: the unit follows the size.

use cotenant::tensor::Nanos;

/// A duration with three or four digits: `1.234 ms`, `12.3 s`.
pub fn duration(time: Nanos) -> String {
    let ns = time.0 as f64;
    let (value, unit) = match time.0 {
        0..1_000 => return format!("{} ns", time.0),
        1_000..1_000_000 => (ns / 1e3, "µs"),
        1_000_000..1_000_000_000 => (ns / 1e6, "ms"),
        1_000_000_000..60_000_000_000 => (ns / 1e9, "s"),
        _ => return format!("{}:{:04.1} min", time.0 / 60_000_000_000, ns / 1e9 % 60.0),
    };
    let decimals = if value < 10.0 { 2 } else { usize::from(value < 100.0) };
    format!("{value:.decimals$} {unit}")
}

/// Milliseconds for a table; a dash for what is unknown.
pub fn ms(value: Option<f64>) -> String {
    value.map_or("–".into(), |ms| if ms < 10.0 { format!("{ms:.2}") } else { format!("{ms:.1}") })
}

/// A share of one as a percentage; a dash for what is unknown.
pub fn percent(value: Option<f64>) -> String {
    value.map_or("–".into(), |share| {
        let percent = share * 100.0;
        // All but one of a thousand is not all.
        let decimals = usize::from(percent > 99.0 && percent < 100.0);
        format!("{:.decimals$}%", if decimals == 1 { percent.min(99.9) } else { percent })
    })
}

/// A count with thousands apart.
pub fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_follow_the_size() {
        let check = |ns: u64, expected: &str| assert_eq!(duration(Nanos(ns)), expected);
        check(0, "0 ns");
        check(999, "999 ns");
        check(1_000, "1.00 µs");
        check(123_456, "123 µs");
        check(12_345_678, "12.3 ms");
        check(9_876_543_210, "9.88 s");
        check(61_500_000_000, "1:01.5 min");
    }

    #[test]
    fn nearly_all_is_not_all() {
        assert_eq!(percent(Some(0.9996)), "99.9%");
        assert_eq!((percent(Some(1.0)), percent(Some(0.5)), percent(None)), ("100%".into(), "50%".into(), "–".into()));
    }

    #[test]
    fn thousands_stand_apart() {
        assert_eq!([0, 12, 999, 1000, 1234567].map(count), ["0", "12", "999", "1,000", "1,234,567"]);
        assert_eq!((ms(Some(2.346)), ms(Some(23.456)), ms(None)), ("2.35".into(), "23.5".into(), "–".into()));
    }
}
