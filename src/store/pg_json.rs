//! JSON that is text already, as PostgreSQL's `jsonb`: a version byte, then the text (PostgreSQL,
//! `jsonb_recv`).

use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::postgres::types::Oid;
use sqlx::postgres::{PgArgumentBuffer, PgHasArrayType, PgTypeInfo};
use sqlx::{Encode, Postgres, Type};

#[derive(Clone, Copy, Debug)]
pub(super) struct PgJson<'a>(pub(super) &'a str);

/// `jsonb` and `jsonb[]` in `pg_type.dat`.
const JSONB: Oid = Oid(3802);
const JSONB_ARRAY: Oid = Oid(3807);
const VERSION: u8 = 1;

impl Type<Postgres> for PgJson<'_> {
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(JSONB)
    }
}

impl PgHasArrayType for PgJson<'_> {
    fn array_type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(JSONB_ARRAY)
    }
}

impl Encode<'_, Postgres> for PgJson<'_> {
    fn encode_by_ref(&self, buf: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        buf.push(VERSION);
        buf.extend_from_slice(self.0.as_bytes());
        Ok(IsNull::No)
    }
}
