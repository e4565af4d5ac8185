//! Compiled templates by their version. A version never changes, so what is here is never stale.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use uuid::Uuid;

use super::Template;

/// What the kept templates may take together: some hundred templates of usual size.
const WEIGHT_MAX: usize = 32 * 1024 * 1024;
/// What one takes that has next to no text.
const WEIGHT_MIN: usize = 4 * 1024;

#[derive(Debug, Default)]
pub struct Cache(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    /// With the number of its last use.
    templates: BTreeMap<Uuid, (u64, Arc<Template>)>,
    weight: usize,
    uses: u64,
}

impl Cache {
    pub fn get(&self, version: Uuid) -> Option<Arc<Template>> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.uses += 1;
        let now = kept.uses;
        let (used, template) = kept.templates.get_mut(&version)?;
        *used = now;
        Some(Arc::clone(template))
    }

    /// Keeps it, and lets those go that were not used for longest.
    pub fn keep(&self, template: &Arc<Template>) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.uses += 1;
        let used = kept.uses;
        let entry = (used, Arc::clone(template));
        if kept.templates.insert(template.version(), entry).is_none() {
            kept.weight += weight(template);
        }
        while kept.weight > WEIGHT_MAX {
            let oldest = kept.templates.iter().min_by_key(|(_, (used, _))| *used);
            let Some(version) = oldest.map(|(version, _)| *version) else {
                break;
            };
            if let Some((_, gone)) = kept.templates.remove(&version) {
                kept.weight -= weight(&gone);
            }
        }
    }
}

fn weight(template: &Template) -> usize {
    WEIGHT_MIN + template.source().weight()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::method::Method;
    use crate::template::Source;

    fn template(text: String) -> Arc<Template> {
        let source = Source {
            method: Method::Sms,
            type_name: None,
            subject: None,
            text: Some(text),
            html: None,
        };
        Arc::new(Template::compile(source).unwrap())
    }

    #[test]
    fn it_is_bounded_and_keeps_what_is_used() {
        let cache = Cache::default();
        let used = template("used".to_owned());
        cache.keep(&used);
        for number in 0..100 {
            cache.keep(&template(format!("{number} {}", "x".repeat(200_000))));
            assert!(cache.get(used.version()).is_some());
            let kept = cache.0.lock().unwrap();
            assert!(kept.weight <= WEIGHT_MAX);
            let weights = kept.templates.values().map(|(_, kept)| weight(kept));
            assert_eq!(kept.weight, weights.sum::<usize>());
        }
        let first = template(format!("0 {}", "x".repeat(200_000)));
        assert!(cache.get(first.version()).is_none());
        cache.keep(&used);
        cache.keep(&used);
        let count = cache.0.lock().unwrap().templates.len();
        assert!((10..30).contains(&count), "{count}");
    }
}
