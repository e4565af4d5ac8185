//! Which recipients go by which providers of a method. Those that serve recipients of one form stand in
//! for each other, and share nothing with the others: neither a queue, nor a rate, nor a failure.

use crate::domain::event::Failure;
use crate::domain::form::Form;
use crate::domain::method::Method;
use crate::domain::reason::Category;

/// The recipients of a group of providers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Serving {
    pub(super) method: Method,
    /// Whose jobs the group claims.
    pub(super) forms: Vec<Form>,
    /// Of these no provider at all serves: they are claimed to be failed.
    refused: Vec<Form>,
}

/// What a group of providers does with a recipient.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Service {
    Sends,
    /// Nobody does.
    Refuses,
    /// Another group: it waits in the wrong lane, as the versions before there were forms put it.
    BySomebodyElse,
}

/// The groups of a method's providers, each with the form that it serves. The order stays: within a
/// group it is the order of preference, and the first group has what nobody serves.
pub(super) fn groups<P>(method: Method, providers: Vec<(Form, P)>) -> Vec<(Serving, Vec<P>)> {
    let mut groups: Vec<(Form, Vec<P>)> = Vec::new();
    for (form, provider) in providers {
        match groups.iter_mut().find(|(known, _)| *known == form) {
            Some((_, group)) => group.push(provider),
            None => groups.push((form, vec![provider])),
        }
    }
    let served: Vec<Form> = groups.iter().map(|(form, _)| *form).collect();
    // Where there is nothing to choose, a target without a special form is left to the judgement of the
    // only service that can be meant.
    let by_default = (served.len() == 1).then_some(Form::Plain);
    let left = Form::all_of(method).iter().copied();
    let mut left: Vec<Form> = left.filter(|form| !served.contains(form)).collect();
    let serving = groups.into_iter().map(|(form, group)| {
        let others = std::mem::take(&mut left).into_iter();
        let serving = Serving {
            method,
            forms: std::iter::once(form).chain(others.clone()).collect(),
            refused: others.filter(|form| Some(*form) != by_default).collect(),
        };
        (serving, group)
    });
    serving.collect()
}

impl Serving {
    pub(super) fn of(&self, form: Form) -> Service {
        if self.refused.contains(&form) {
            Service::Refuses
        } else if self.forms.contains(&form) {
            Service::Sends
        } else {
            Service::BySomebodyElse
        }
    }
}

/// The code names the provider that would serve it.
pub(super) fn refusal(form: Form) -> Failure {
    let code = match form {
        Form::Plain => "no_provider_fcm",
        Form::Arn => "no_provider_sns",
        Form::Hex => "no_provider_apns",
    };
    Failure {
        category: Category::NoProvider,
        code: Some(code.to_owned()),
        provider_text: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SNS: (Form, &str) = (Form::Arn, "sns");
    const FCM: (Form, &str) = (Form::Plain, "fcm");
    const APNS: (Form, &str) = (Form::Hex, "apns");

    /// `provider, ...: what it sends, what it refuses` of each group.
    fn told(method: Method, providers: &[(Form, &'static str)]) -> Vec<String> {
        let groups = groups(method, providers.to_vec()).into_iter();
        let told = groups.map(|(serving, group)| {
            let that = |service| {
                let forms = serving.forms.iter().copied();
                let forms: Vec<Form> = forms.filter(|form| serving.of(*form) == service).collect();
                format!("{forms:?}")
            };
            let (sent, refused) = (that(Service::Sends), that(Service::Refuses));
            format!("{}: {sent} {refused}", group.join(", "))
        });
        told.collect()
    }

    #[test]
    fn providers_of_emails_stand_in_for_each_other() {
        let both = [(Form::Plain, "ses"), (Form::Plain, "smtp")];
        assert_eq!(told(Method::Email, &both), ["ses, smtp: [Plain] []"]);
    }

    #[test]
    fn each_push_provider_has_its_own_targets_and_the_first_refuses_what_nobody_serves() {
        let told = |providers: &[_]| told(Method::Push, providers);
        assert_eq!(
            told(&[FCM, APNS]),
            ["fcm: [Plain] [Arn]", "apns: [Hex] []"],
            "in the order of the list"
        );
        assert_eq!(told(&[APNS, SNS]), ["apns: [Hex] [Plain]", "sns: [Arn] []"]);
        assert_eq!(
            told(&[SNS, FCM, APNS]),
            ["sns: [Arn] []", "fcm: [Plain] []", "apns: [Hex] []"]
        );
    }

    #[test]
    fn a_single_push_provider_has_also_what_has_no_form_of_anothers() {
        let told = |provider| told(Method::Push, &[provider]);
        assert_eq!(told(SNS), ["sns: [Arn, Plain] [Hex]"]);
        assert_eq!(told(FCM), ["fcm: [Plain] [Arn, Hex]"]);
        assert_eq!(told(APNS), ["apns: [Hex, Plain] [Arn]"]);
    }

    #[test]
    fn what_another_group_serves_is_its_business() {
        let groups = groups(Method::Push, vec![FCM, APNS]);
        let service = |at: usize, form| groups[at].0.of(form);
        assert_eq!(service(0, Form::Hex), Service::BySomebodyElse);
        assert_eq!(service(1, Form::Arn), Service::BySomebodyElse);
    }
}
