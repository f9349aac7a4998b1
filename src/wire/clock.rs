/// The time of the day in UTC, `08:49:37`, of milliseconds since 1970.
pub(crate) fn time_of_day(unix_ms: u64) -> String {
    let seconds = unix_ms / 1_000;
    let [hours, minutes] = [seconds / 3_600 % 24, seconds / 60 % 60];
    format!("{hours:02}:{minutes:02}:{:02}", seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_begins_at_midnight() {
        assert_eq!(time_of_day(0), "00:00:00");
        assert_eq!(time_of_day(784_111_777_999), "08:49:37");
        assert_eq!(time_of_day(86_399_999), "23:59:59");
        assert_eq!(time_of_day(86_400_000), "00:00:00");
        assert_eq!(time_of_day(u64::MAX).len(), 8);
    }
}
