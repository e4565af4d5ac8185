//! The reasons of APNs: the one table that says what each means for a message.
//! <https://developer.apple.com/documentation/usernotifications/handling-notification-responses-from-apns>

use crate::domain::reason::Category;

/// What a reason says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// The app is gone from the device.
    Gone,
    Rejected(Category),
    TryLater,
    /// We ask too much of Apple.
    Throttled,
    /// Too much for one device.
    DeviceThrottled,
    /// Our key, team or topic.
    Broken,
    /// Our provider token is too old.
    TokenTooOld,
}

use Meaning::{Broken, DeviceThrottled, Gone, Rejected, Throttled, TokenTooOld, TryLater};

const REASONS: [(&str, Meaning); 30] = [
    // The device.
    ("Unregistered", Gone),
    ("ExpiredToken", Gone),
    // Perhaps of the other environment, or of another app of ours: no reason to give it up.
    ("BadDeviceToken", Rejected(Category::InvalidAddress)),
    ("DeviceTokenNotForTopic", Rejected(Category::InvalidAddress)),
    ("MissingDeviceToken", Rejected(Category::InvalidAddress)),
    // Of our requests' path only the device is not fixed.
    ("BadPath", Rejected(Category::InvalidAddress)),
    // The message.
    ("PayloadTooLarge", Rejected(Category::ContentRejected)),
    ("PayloadEmpty", Rejected(Category::ContentRejected)),
    ("BadCollapseId", Rejected(Category::ContentRejected)),
    ("BadExpirationDate", Rejected(Category::ContentRejected)),
    ("BadMessageId", Rejected(Category::ContentRejected)),
    ("BadPriority", Rejected(Category::ContentRejected)),
    ("InvalidPushType", Rejected(Category::ContentRejected)),
    ("DuplicateHeaders", Rejected(Category::ContentRejected)),
    // Our key, our team, our topic, or something before Apple.
    ("TopicDisallowed", Broken),
    ("MissingTopic", Broken),
    ("BadTopic", Broken),
    ("InvalidProviderToken", Broken),
    ("MissingProviderToken", Broken),
    ("BadEnvironmentKeyIdInToken", Broken),
    ("UnrelatedKeyIdInToken", Broken),
    ("BadCertificate", Broken),
    ("BadCertificateEnvironment", Broken),
    ("Forbidden", Broken),
    ("MethodNotAllowed", Broken),
    ("ExpiredProviderToken", TokenTooOld),
    // Too much, too often.
    ("TooManyRequests", DeviceThrottled),
    ("TooManyProviderTokenUpdates", Throttled),
    // The connection or the service; a new connection is made for the next message.
    ("IdleTimeout", TryLater),
    ("Shutdown", TryLater),
];

/// `None`: a reason that is not in the table. Those of 5xx need not be: the status says as much.
pub(super) fn meaning(reason: &str) -> Option<Meaning> {
    REASONS
        .iter()
        .find(|(known, _)| *known == reason)
        .map(|(_, meaning)| *meaning)
}
