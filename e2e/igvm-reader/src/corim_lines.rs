//! What a CoRIM says, as a verifier would read it: one line of JSON for each CoMID.
use crate::hex;
use corim::types::common::MeasuredElement;
use corim::types::environment::EnvironmentMap;
use corim::types::measurement::{MeasurementMap, SvnChoice};
use corim::validate::decode_and_validate_at;
use serde_json::{json, Value};

/// The documents have no period of validity, so any time will do (seconds since 1970).
const NOW: i64 = 1_800_000_000;

pub fn print(bytes: &[u8]) {
    let (corim, comids) = match decode_and_validate_at(bytes, NOW) {
        Ok(read) => read,
        Err(error) => {
            println!("{}", json!({ "error": error.to_string() }));
            return;
        }
    };
    for comid in comids {
        let references = comid.triples.reference_triples.unwrap_or_default();
        let series = comid.triples.conditional_endorsement_series.unwrap_or_default();
        println!(
            "{}",
            json!({
                "type": "comid",
                "profile": corim.profile.as_ref().map(|profile| profile.to_string()),
                "references": references
                    .iter()
                    .map(|triple| json!([environment(&triple.0), measurements(&triple.1)]))
                    .collect::<Vec<_>>(),
                "series": series
                    .iter()
                    .map(|triple| {
                        let records = triple.1.iter().map(|record| json!([measurements(&record.0), measurements(&record.1)]));
                        json!([environment(&triple.0.environment), records.collect::<Vec<_>>()])
                    })
                    .collect::<Vec<_>>(),
            })
        );
    }
    println!("{}", json!({ "type": "end" }));
}

fn environment(environment: &EnvironmentMap) -> Option<String> {
    let class = environment.class.as_ref()?;
    Some(format!("{}/{}", class.vendor.as_ref()?, class.model.as_ref()?))
}

/// Of each measurement its key, and its digest or security version.
fn measurements(list: &[MeasurementMap]) -> Vec<Value> {
    list.iter()
        .map(|measurement| {
            let key = match &measurement.mkey {
                Some(MeasuredElement::Text(key)) => json!(key),
                _ => Value::Null,
            };
            let digests = measurement.mval.digests.as_ref().map(|digests| {
                let each = digests.iter().map(|digest| json!([digest.0.to_string(), hex(&digest.1)]));
                each.collect::<Vec<_>>()
            });
            let svn = match &measurement.mval.svn {
                Some(SvnChoice::ExactValue(svn)) => json!(svn),
                _ => Value::Null,
            };
            json!({ "key": key, "digests": digests, "svn": svn })
        })
        .collect()
}
