//! Who asks: the signatures of logins and of REST requests.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;
use serde_json::Value;

use super::super::account::AccountConfig;
use super::super::hub::Hub;
use super::super::text::put_time;
use super::super::wire::Request;
use super::SECOND;

/// A signature may be so old, or so young.
const SKEW_NS: u64 = 30 * SECOND;

/// Key, secret and passphrase of the account.
#[derive(Clone, Copy)]
pub(super) struct Keys<'a> {
    pub(super) key: &'a str,
    pub(super) secret: &'a str,
    pub(super) passphrase: &'a str,
}

/// Those of the venue's one account.
pub(super) fn keys(hub: &Hub) -> Keys<'_> {
    let AccountConfig { key, secret, passphrase, .. } = hub.account.config();
    Keys { key, secret, passphrase }
}

impl Keys<'_> {
    /// Base64 of the HMAC-SHA256 of the parts one after the other.
    fn sign(&self, parts: &[&[u8]]) -> String {
        let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, self.secret.as_bytes()));
        parts.iter().for_each(|part| context.update(part));
        STANDARD.encode(context.sign())
    }

    /// `{"apiKey":"..","passphrase":"..","timestamp":"1704164645","sign":".."}`: the code and the words that refuse it.
    pub(super) fn check_login(&self, arg: Option<&Value>, now_ns: u64) -> Result<(), (u32, &'static str)> {
        let part = |name: &str| arg?.get(name)?.as_str();
        let (Some(key), Some(passphrase), Some(time), Some(sign)) =
            (part("apiKey"), part("passphrase"), part("timestamp"), part("sign"))
        else {
            return Err((60009, "Login failed."));
        };
        let time_s: u64 = time.parse().map_err(|_| (60004, "Invalid timestamp"))?;
        if is_skewed(time_s.saturating_mul(SECOND), now_ns) {
            return Err((60006, "Timestamp request expired"));
        }
        if key != self.key {
            return Err((60005, "Invalid apiKey"));
        }
        if passphrase != self.passphrase {
            return Err((60024, "Wrong passphrase"));
        }
        let right = self.sign(&[time.as_bytes(), b"GET/users/self/verify"]);
        if sign == right { Ok(()) } else { Err((60007, "Invalid sign")) }
    }

    /// The headers `OK-ACCESS-*` of a request: the code and the words that refuse it.
    pub(super) fn check_request(&self, request: &Request, now_ns: u64) -> Result<(), (u32, String)> {
        let header = |code, name: &str| {
            let value = request.header(&name.to_ascii_lowercase()).filter(|value| !value.is_empty());
            value.ok_or_else(|| (code, format!("Request header \"{name}\" can not be empty.")))
        };
        let key = header(50103, "OK-ACCESS-KEY")?;
        let passphrase = header(50104, "OK-ACCESS-PASSPHRASE")?;
        let sign = header(50106, "OK-ACCESS-SIGN")?;
        let time = header(50107, "OK-ACCESS-TIMESTAMP")?;
        let time_ns = parse_time(time, now_ns).ok_or_else(|| (50112, "Invalid OK-ACCESS-TIMESTAMP".to_owned()))?;
        if is_skewed(time_ns, now_ns) {
            return Err((50102, "Timestamp request expired".to_owned()));
        }
        if key != self.key {
            return Err((50111, "Invalid OK-ACCESS-KEY".to_owned()));
        }
        if passphrase != self.passphrase {
            return Err((50105, "Request header \"OK-ACCESS-PASSPHRASE\" incorrect.".to_owned()));
        }
        let parts = [time.as_bytes(), request.method.as_bytes(), request.target.as_bytes(), &request.body];
        if sign == self.sign(&parts) { Ok(()) } else { Err((50113, "Invalid Sign".to_owned())) }
    }
}

fn is_skewed(time_ns: u64, now_ns: u64) -> bool {
    time_ns.abs_diff(now_ns) > SKEW_NS
}

/// `2024-01-02T03:04:05.678Z`, in nanoseconds. Found by comparing with the days around now: what is further away has
/// expired anyway, and is given as zero.
fn parse_time(text: &str, now_ns: u64) -> Option<u64> {
    const DAY_NS: u64 = 86_400 * SECOND;
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let digits = |text: &str, len: usize| -> Option<u64> {
        (text.len() == len && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok()).flatten()
    };
    let mut parts = time.splitn(3, ':');
    let (hours, minutes, seconds) = (digits(parts.next()?, 2)?, digits(parts.next()?, 2)?, parts.next()?);
    let (seconds, millis) = seconds.split_once('.')?;
    let (seconds, millis) = (digits(seconds, 2)?, digits(millis, 3)?);
    let mut numbers = date.splitn(3, '-').zip([4, 2, 2]);
    let is_date = numbers.all(|(number, len)| digits(number, len).is_some()) && date.len() == 10;
    if !is_date || hours > 23 || minutes > 59 || seconds > 60 {
        return None;
    }
    let of_day_ns = ((hours * 60 + minutes) * 60 + seconds) * SECOND + millis * 1_000_000;
    let midnight_ns = now_ns - now_ns % DAY_NS;
    let days = [midnight_ns.saturating_sub(DAY_NS), midnight_ns, midnight_ns.saturating_add(DAY_NS)];
    let day = days.into_iter().find(|day_ns| {
        let mut its = String::new();
        put_time(&mut its, *day_ns, 0);
        its.starts_with(date)
    });
    Some(day.map_or(0, |day_ns| day_ns + of_day_ns))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// 2024-01-02T03:04:05.678Z.
    const NOW: u64 = 1_704_164_645_678_000_000;
    const KEYS: Keys<'_> = Keys { key: "k", secret: "testSecret0001", passphrase: "p" };

    #[test]
    fn logins_are_checked() {
        let sign = "Bcxk45vKfO8u59vOE9u4R9HXi5xIXEcsSDmPCyioDEY=";
        let login = json!({ "apiKey": "k", "passphrase": "p", "timestamp": "1704164645", "sign": sign });
        let check = |name: &str, value: &str, now_ns| {
            let mut login = login.clone();
            login[name] = value.into();
            KEYS.check_login(Some(&login), now_ns).map_err(|(code, _)| code)
        };
        assert_eq!(check("sign", sign, NOW), Ok(()));
        assert_eq!(check("sign", sign, 1_704_164_675_000_000_000), Ok(()));
        assert_eq!(check("sign", sign, 1_704_164_675_000_000_001), Err(60006));
        assert_eq!(check("sign", "Bcxk45vK", NOW), Err(60007));
        assert_eq!(check("apiKey", "K", NOW), Err(60005));
        assert_eq!(check("passphrase", "q", NOW), Err(60024));
        assert_eq!(check("timestamp", "1704164646", NOW), Err(60007), "the time is signed");
        assert_eq!(check("timestamp", "now", NOW), Err(60004));
        assert_eq!(KEYS.check_login(None, NOW).unwrap_err().0, 60009);
    }

    #[test]
    fn requests_are_checked() {
        let headers = [
            ("ok-access-key", "k"),
            ("ok-access-passphrase", "p"),
            ("ok-access-timestamp", "2024-01-02T03:04:05.678Z"),
            ("ok-access-sign", "5xPWeuyOx0Ex9kRYGax4oxcNaz2XemeU4nMBKNZPhIo="),
        ];
        let request = Request {
            method: "GET".to_owned(),
            target: "/api/v5/account/balance?ccy=BTC".to_owned(),
            headers: headers.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
            body: Vec::new(),
        };
        let check = |request: &Request, now_ns| KEYS.check_request(request, now_ns).map_err(|(code, _)| code);
        assert_eq!(check(&request, NOW), Ok(()));
        assert_eq!(check(&request, NOW + 30 * SECOND), Ok(()));
        assert_eq!(check(&request, NOW + 31 * SECOND), Err(50102));
        assert_eq!(check(&request, NOW + 31 * 86_400 * SECOND), Err(50102));
        let target = "/api/v5/account/balance?ccy=ETH".to_owned();
        assert_eq!(check(&Request { target, ..request.clone() }, NOW), Err(50113));
        for (at, value, missing, wrong) in
            [(0, "x", 50103, 50111), (1, "x", 50104, 50105), (2, "3 o'clock", 50107, 50112), (3, "x", 50106, 50113)]
        {
            let mut changed = request.clone();
            changed.headers[at].1 = value.to_owned();
            assert_eq!(check(&changed, NOW), Err(wrong));
            changed.headers.remove(at);
            assert_eq!(check(&changed, NOW), Err(missing));
        }
        let body =
            br#"{"instId":"BTC-USDT","tdMode":"cash","side":"buy","ordType":"limit","px":"42000.5","sz":"0.01"}"#;
        let mut post = Request {
            method: "POST".to_owned(),
            target: "/api/v5/trade/order".to_owned(),
            body: body.to_vec(),
            ..request
        };
        post.headers[3].1 = "2zV01bzzmo9exIub9SzvQFRbtiH9FlKuy5afYIKN+zE=".to_owned();
        assert_eq!(check(&post, NOW), Ok(()));
    }
}
