//! Our instant as PostgreSQL's `timestamptz`: microseconds since 2000-01-01 on the wire
//! (PostgreSQL, "Date/Time Types": 8-byte integer timestamps).

use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::postgres::types::Oid;
use sqlx::postgres::{PgArgumentBuffer, PgHasArrayType, PgTypeInfo, PgValueFormat, PgValueRef};
use sqlx::{Decode, Encode, Postgres, Type};

use crate::domain::time::Timestamp;

#[derive(Clone, Copy, Debug)]
pub(super) struct PgTime(pub(super) Timestamp);

/// 2000-01-01T00:00:00Z in milliseconds since 1970.
const EPOCH_2000_MILLIS: i64 = 946_684_800_000;
/// `timestamptz` and `timestamptz[]` in `pg_type.dat`.
const TIMESTAMPTZ: Oid = Oid(1184);
const TIMESTAMPTZ_ARRAY: Oid = Oid(1185);

impl Type<Postgres> for PgTime {
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(TIMESTAMPTZ)
    }
}

impl PgHasArrayType for PgTime {
    fn array_type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(TIMESTAMPTZ_ARRAY)
    }
}

impl Encode<'_, Postgres> for PgTime {
    fn encode_by_ref(&self, buf: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        let micros = (self.0.as_millis() - EPOCH_2000_MILLIS) * 1000;
        Encode::<Postgres>::encode(micros, buf)
    }
}

impl<'r> Decode<'r, Postgres> for PgTime {
    fn decode(value: PgValueRef<'r>) -> Result<Self, BoxDynError> {
        match value.format() {
            PgValueFormat::Binary => {
                let micros: i64 = Decode::<Postgres>::decode(value)?;
                Ok(Self(Timestamp::from_millis(
                    micros.div_euclid(1000).saturating_add(EPOCH_2000_MILLIS),
                )))
            }
            PgValueFormat::Text => Err("timestamptz arrived as text".into()),
        }
    }
}
