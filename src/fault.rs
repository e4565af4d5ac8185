//! Places at which a test ends the process as a power cut would: no destructor runs, nothing is
//! flushed. Development builds have them, release builds do not.

/// The steps of the work between which the process may die.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// The claim is written and not committed.
    Claiming,
    /// The claim is committed; nobody was told.
    Claimed,
    /// The provider is about to be called.
    Sending,
    /// The provider has answered; nothing of it is written.
    Answered,
    /// The outcomes are written and not committed.
    Recording,
    /// The outcomes are committed; nobody was told.
    Recorded,
    /// A dead worker's claim is taken up and that is not committed.
    Rescuing,
    /// A dead worker's claim is taken up.
    Rescued,
    /// Counts are added to their sums and taken away, and that is not committed.
    Folding,
    /// Messages of a queue are enqueued or buried; none of them is deleted from it.
    TakenOver,
}

/// `SENDTRAIL_FAULT=STEP:N` in the environment ends the process when it comes to STEP for the Nth
/// time.
#[cfg(debug_assertions)]
pub(crate) fn at(step: Step) {
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU32, Ordering};

    static ASKED: LazyLock<Option<(String, u32)>> = LazyLock::new(|| {
        let asked = std::env::var_os("SENDTRAIL_FAULT")?.into_string().ok()?;
        let (step, times) = asked.split_once(':')?;
        Some((step.to_owned(), times.parse().ok()?))
    });
    static REACHED: AtomicU32 = AtomicU32::new(0);

    if let Some((asked, times)) = &*ASKED
        && *asked == format!("{step:?}")
        && REACHED.fetch_add(1, Ordering::SeqCst) + 1 == *times
    {
        std::process::abort();
    }
}

#[cfg(not(debug_assertions))]
pub(crate) const fn at(_step: Step) {}
