//! Text to mantissa and back, against arithmetic in 128 bits on the digits. The first byte is the scale.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wirebook::decimal::{self, DecimalError, Fixed, SCALE_MAX};

/// What the text is worth at a scale of 18, digit by digit; `None` beyond 38 digits or with an odd exponent.
fn wide(text: &str) -> Option<i128> {
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let exponent: i32 = exponent.parse().ok().filter(|exponent: &i32| exponent.abs() < 40)?;
    let (negative, mantissa) = mantissa.strip_prefix('-').map_or((false, mantissa), |rest| (true, rest));
    let (integer, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{integer}{fraction}");
    let digits = digits.trim_start_matches('0');
    let trimmed = digits.trim_end_matches('0');
    let up = 18 + exponent - fraction.len() as i32 + (digits.len() - trimmed.len()) as i32;
    if trimmed.is_empty() {
        return Some(0);
    }
    let value = trimmed.parse::<i128>().ok()?.checked_mul(10_i128.checked_pow(u32::try_from(up).ok()?)?)?;
    Some(if negative { -value } else { value })
}

fuzz_target!(|data: &[u8]| {
    let [scale, text @ ..] = data else { return };
    let scale = scale % (SCALE_MAX + 2);
    let number = std::str::from_utf8(text)
        .ok()
        .filter(|text| text.trim_ascii() == *text && serde_json::from_str::<serde_json::Number>(text).is_ok());
    let exact = decimal::parse_exact(text, scale);
    let rounded = decimal::parse_round(text, scale);
    let fixed = Fixed::parse_exact(text);
    let Some(number) = number else {
        assert_eq!((exact, rounded), (Err(DecimalError::Syntax), Err(DecimalError::Syntax)));
        assert_eq!(fixed, Err(DecimalError::Syntax));
        return;
    };
    assert!(exact != Err(DecimalError::Syntax) && rounded != Err(DecimalError::Syntax));
    if scale > SCALE_MAX {
        assert_eq!((exact, rounded), (Err(DecimalError::Overflow), Err(DecimalError::Overflow)));
        return;
    }
    match exact {
        Ok(mantissa) => {
            assert_eq!(rounded, Ok(mantissa));
            assert_eq!(fixed, Ok(Fixed::new(mantissa, scale)));
            let printed = Fixed::new(mantissa, scale).to_string();
            assert_eq!(decimal::parse_exact(printed.as_bytes(), scale), Ok(mantissa));
            assert!(!printed.contains('e') && printed != "-0");
            assert!(!printed.contains('.') || !printed.ends_with(['0', '.']));
        }
        Err(DecimalError::Inexact { scale: needed }) => {
            assert!(needed > scale);
            assert_eq!(Ok(Fixed::new(decimal::parse_exact(text, needed).unwrap(), needed)), fixed);
            assert!(decimal::parse_exact(text, needed - 1).is_err());
        }
        Err(_) => assert!(fixed.is_err() || fixed.unwrap().rescale(scale) == Err(DecimalError::Overflow)),
    }
    if let Some(wide) = wide(number) {
        let unit = 10_i128.pow(u32::from(SCALE_MAX - scale));
        match exact {
            Ok(mantissa) => assert_eq!(i128::from(mantissa) * unit, wide),
            Err(DecimalError::Inexact { .. }) => assert_ne!(wide % unit, 0),
            // No finer scale would hold it either.
            Err(_) => assert!((scale..=SCALE_MAX).all(|scale| {
                let unit = 10_i128.pow(u32::from(SCALE_MAX - scale));
                wide % unit != 0 || i64::try_from(wide / unit).is_err()
            })),
        }
        if let Ok(mantissa) = rounded {
            let distance = (i128::from(mantissa) * unit - wide).abs() * 2;
            assert!(distance < unit || (distance == unit && mantissa % 2 == 0) || distance == 0);
        }
    }
});
