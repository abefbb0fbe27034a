//! The output of a fuzz target.

/// Beginnings of the lines that say what was found. They come long before the end of the output, which is the stack
/// and the input.
const FINDINGS: [&str; 2] = ["panicked at", "ERROR: "];

/// Beginning of a line about an input that takes too long.
const ALARM: &str = "ALARM";

/// Number of lines shown after the first that names a finding.
const LINES_AFTER: usize = 3;

/// Number of executions in the statistics at the end.
pub(super) fn executions(log: &str) -> u64 {
    let counts = log
        .lines()
        .filter_map(|line| line.strip_prefix("stat::number_of_executed_units:"));
    let mut counts = counts.filter_map(|count| count.trim().parse().ok());
    counts.next_back().unwrap_or(0)
}

/// Lines that say what was found, and where its input is.
pub(super) fn finding(log: &str) -> Vec<&str> {
    let names_finding = |line: &&str| {
        line.starts_with(ALARM) || FINDINGS.iter().any(|finding| line.contains(finding))
    };
    let first = log.lines().skip_while(|line| !names_finding(line));
    let mut lines: Vec<&str> = first.take(1 + LINES_AFTER).collect();
    lines.extend(
        log.lines()
            .filter(|line| line.contains("Test unit written to")),
    );
    lines
}

/// Processor time in seconds, by a line of `/proc/PID/stat`.
pub(super) fn processor_seconds(stat: &str, ticks_per_second: u64) -> Option<f64> {
    // The second field is the name, which may hold spaces and parentheses.
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<u64>().ok();
    let total = ticks()? + ticks()?;
    Some(total as f64 / ticks_per_second as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn executions_are_those_of_the_statistics() {
        let log = "#2 INITED\nstat::number_of_executed_units: 4711\nstat::peak_rss_mb: 80\n";
        assert_eq!(executions(log), 4711);
        assert_eq!(executions("#2 INITED\n"), 0);
    }

    #[test]
    fn finding_is_the_first_panic_and_its_input() {
        let log = "INFO: x\nthread 'main' panicked at a.rs:1:2:\nlost\n1\n2\n\
            ==1== ERROR: libFuzzer: deadly signal\n0x0a\nartifact; Test unit written to f-1\n";
        assert_eq!(
            finding(log),
            [
                "thread 'main' panicked at a.rs:1:2:",
                "lost",
                "1",
                "2",
                "artifact; Test unit written to f-1"
            ]
        );
        assert_eq!(finding("ALARM: working\n"), ["ALARM: working"]);
        assert!(finding("INFO: x\n").is_empty());
    }

    #[test]
    fn processor_seconds_are_user_and_system_time() {
        let stat = "7 (a b) c) Z 1 7 7 0 -1 4228364 0 0 0 0 250 50 9 9 20 0 1 0 100";
        assert_eq!(processor_seconds(stat, 100), Some(3.0));
        assert_eq!(processor_seconds("7", 100), None);
    }
}
