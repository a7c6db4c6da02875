//! Times as JavaScript writes them.

const DAY_MILLIS: u64 = 24 * 3_600 * 1_000;

/// ISO 8601 text of a time in milliseconds since 1970, in UTC.
pub(super) fn iso(millis: u64) -> String {
    let (year, month, day) = date(millis / DAY_MILLIS);
    let rest = millis % DAY_MILLIS;
    let (hour, minute, second) = (rest / 3_600_000, rest / 60_000 % 60, rest / 1_000 % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z", rest % 1_000)
}

/// The date so many days after the first of January 1970. Years are counted from March, so that a leap day is the last of one.
fn date(days: u64) -> (u64, u64, u64) {
    // From the first of March of the year 0; 146,097 days are 400 years.
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_the_calendar() {
        assert_eq!(iso(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(iso(951_827_696_789), "2000-02-29T12:34:56.789Z");
        assert_eq!(iso(951_868_800_000), "2000-03-01T00:00:00.000Z");
        assert_eq!(iso(1_798_761_599_999), "2026-12-31T23:59:59.999Z");
        assert_eq!(iso(4_107_542_399_000), "2100-02-28T23:59:59.000Z");
        assert_eq!(iso(4_107_542_400_000), "2100-03-01T00:00:00.000Z", "2100 is no leap year");
    }
}
