//! The steps of SQLite's plans: which of them go through a table that grows.

/// Table functions, tables whose rows are few, and names of what a statement has at hand.
const SMALL: [&str; 31] = [
    "json_each",
    "CONSTANT ROW",
    "VALUES CLAUSE",
    "subquery-",
    "SCAN b",
    "claims",
    "businesses",
    "sent",
    "waiting",
    "dead",
    "due",
    "mine",
    "turns",
    // The latest entries, up to a limit.
    "SCAN recent",
    "SCAN latest",
    "SCAN entries",
    "SCAN begins",
    "SCAN hits",
    // The first of those of which something is tracked.
    "SCAN contact_types USING INDEX contact_types_tracked",
    // The first of those that nobody has looked at.
    "SCAN contact_log USING INDEX contact_log_untagged",
    "SCAN few",
    // Counts of causes, each added up; what was sent again in the last second.
    "SCAN sums",
    "SCAN resent_marks",
    // Runs that are not at their end.
    "SCAN r USING INDEX resend_runs_open",
    // Those that wait to be folded, up to a limit; and sums of them and of what is found.
    "SCAN unfolded",
    "SCAN counted",
    // Businesses to which something came back, up to a limit.
    "SCAN found",
    // A few for each topic and provider.
    "SCAN alarms",
    "SCAN operation_matters",
    // Twenty of each business at most.
    "webhook_endpoints",
    "SCAN e",
];

pub(super) fn goes_through_a_table(step: &str, statement: &str) -> bool {
    // Alarms, counted up to a limit.
    let counted = statement.contains("FROM unmatched_events LIMIT")
        || statement.contains("FROM held_jobs LIMIT")
        || step == "SCAN j USING INDEX jobs_later" && statement.contains("COUNT(*)");
    let small = counted || SMALL.iter().any(|name| step.contains(name));
    let scans = step.contains("SCAN") && !small;
    // A page begins at one end of the business's entries and stops when it is full.
    let of_business = step.ends_with("contact_log_by_business (business_id=?)")
        && !statement.contains(" ORDER BY h.id");
    scans || of_business || step.contains("AUTOMATIC")
}
