//! AWS regions as SNS knows them: the exact host of each, and the name its signing certificate bears.

/// Where SNS of one region is, and by which certificate it signs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Site {
    /// The only host that certificates and subscription addresses of the region may name.
    pub(super) host: String,
    /// The common name that the signing certificate must have.
    pub(super) certificate_name: String,
}

/// Regions that are on in every account; they share one certificate name.
const CLASSIC: [&str; 17] = [
    "ap-northeast-1",
    "ap-northeast-2",
    "ap-northeast-3",
    "ap-south-1",
    "ap-southeast-1",
    "ap-southeast-2",
    "ca-central-1",
    "eu-central-1",
    "eu-north-1",
    "eu-west-1",
    "eu-west-2",
    "eu-west-3",
    "sa-east-1",
    "us-east-1",
    "us-east-2",
    "us-west-1",
    "us-west-2",
];

/// Regions that an account has to opt in to; each signs under its own name.
const OPT_IN: [&str; 17] = [
    "af-south-1",
    "ap-east-1",
    "ap-east-2",
    "ap-south-2",
    "ap-southeast-3",
    "ap-southeast-4",
    "ap-southeast-5",
    "ap-southeast-6",
    "ap-southeast-7",
    "ca-west-1",
    "eu-central-2",
    "eu-south-1",
    "eu-south-2",
    "il-central-1",
    "me-central-1",
    "me-south-1",
    "mx-central-1",
];

/// The site of a region. `None` for a region that is not in the list: hosts are never guessed from
/// a pattern, because `sns.s3-us-west-2.amazonaws.com` fits every pattern and is anybody's bucket.
///
/// The names are those that AWS's own verifier accepts (aws-sdk-java-v2, sns-message-manager).
pub(super) fn site(partition: &str, region: &str) -> Option<Site> {
    let (domain, certificate_name) = match (partition, region) {
        ("aws", _) if CLASSIC.contains(&region) => {
            ("amazonaws.com", "sns.amazonaws.com".to_owned())
        }
        ("aws", _) if OPT_IN.contains(&region) => {
            ("amazonaws.com", regional(region, "amazonaws.com"))
        }
        ("aws-cn", "cn-north-1" | "cn-northwest-1") => {
            ("amazonaws.com.cn", format!("sns-{region}.amazonaws.com.cn"))
        }
        ("aws-us-gov", "us-gov-east-1" | "us-gov-west-1") => (
            "amazonaws.com",
            "sns-us-gov-west-1.amazonaws.com".to_owned(),
        ),
        ("aws-iso", "us-iso-east-1" | "us-iso-west-1") => {
            ("c2s.ic.gov", "sns-us-iso-east-1.c2s.ic.gov".to_owned())
        }
        ("aws-iso-b", "us-isob-east-1" | "us-isob-west-1") => (
            "sc2s.sgov.gov",
            "sns-us-isob-east-1.sc2s.sgov.gov".to_owned(),
        ),
        ("aws-iso-e", "eu-isoe-west-1") => ("cloud.adc-e.uk", regional(region, "cloud.adc-e.uk")),
        ("aws-iso-f", "us-isof-east-1" | "us-isof-south-1") => {
            ("csp.hci.ic.gov", regional(region, "csp.hci.ic.gov"))
        }
        ("aws-eusc", "eusc-de-east-1") => ("amazonaws.eu", regional(region, "amazonaws.eu")),
        _ => return None,
    };
    Some(Site {
        host: format!("sns.{region}.{domain}"),
        certificate_name,
    })
}

fn regional(region: &str, domain: &str) -> String {
    format!("sns-signing.{region}.{domain}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_partition_has_its_own_hosts_and_certificate_names() {
        for (partition, region, host, name) in [
            (
                "aws",
                "us-east-1",
                "sns.us-east-1.amazonaws.com",
                "sns.amazonaws.com",
            ),
            (
                "aws",
                "af-south-1",
                "sns.af-south-1.amazonaws.com",
                "sns-signing.af-south-1.amazonaws.com",
            ),
            (
                "aws-cn",
                "cn-northwest-1",
                "sns.cn-northwest-1.amazonaws.com.cn",
                "sns-cn-northwest-1.amazonaws.com.cn",
            ),
            (
                "aws-us-gov",
                "us-gov-east-1",
                "sns.us-gov-east-1.amazonaws.com",
                "sns-us-gov-west-1.amazonaws.com",
            ),
            (
                "aws-eusc",
                "eusc-de-east-1",
                "sns.eusc-de-east-1.amazonaws.eu",
                "sns-signing.eusc-de-east-1.amazonaws.eu",
            ),
        ] {
            let site = site(partition, region).unwrap();
            assert_eq!(
                (site.host.as_str(), site.certificate_name.as_str()),
                (host, name)
            );
        }
    }

    #[test]
    fn a_region_that_is_not_listed_or_not_of_the_partition_has_no_site() {
        for (partition, region) in [
            ("aws", "s3-us-west-2"),
            ("aws", "zz-fake-1"),
            ("aws", ""),
            ("aws-cn", "us-east-1"),
            ("aws", "cn-north-1"),
            ("AWS", "us-east-1"),
        ] {
            assert_eq!(site(partition, region), None, "{partition} {region}");
        }
    }
}
