//! Counts in words.

/// A count with its word: `1 gap`, `2 gaps`.
pub fn counted(count: impl TryInto<u64>, one: &str, many: &str) -> String {
    let count = count.try_into().unwrap_or(u64::MAX);
    format!("{count} {}", if count == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_one_and_all_else_is_many() {
        let gaps = |count: i64| counted(count, "gap", "gaps");
        assert_eq!([gaps(0), gaps(1), gaps(2)], ["0 gaps", "1 gap", "2 gaps"]);
    }
}
