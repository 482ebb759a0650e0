//! Where upstreams dial in.

#[cfg(feature = "http2")]
use std::net::IpAddr;

#[cfg(feature = "http2")]
use headwater_rpc::http::AltSvc;
use headwater_transports::{Scheme, ServerOptions, Url, UrlError, UrlServer};

use super::Error;

/// Binds all of the URLs, in their order. What listens by `https://` announces the `h3://` among them, if there is one that
/// is reached at the same host (RFC 7838).
pub(super) async fn bind(
    urls: &[String],
    options: &ServerOptions,
) -> Result<Vec<UrlServer>, Error> {
    let parsed = urls.iter().map(|text| {
        let url = Url::parse(text);
        url.map_err(|error| cannot_listen(text, &error))
    });
    let parsed = parsed.collect::<Result<Vec<_>, _>>()?;
    let mut bound: Vec<Option<UrlServer>> = urls.iter().map(|_| None).collect();
    // HTTP/3 first: its ports have to be known before they can be announced.
    for is_http3 in [true, false] {
        for (at, (text, url)) in urls.iter().zip(&parsed).enumerate() {
            if (url.scheme() == Scheme::H3) != is_http3 {
                continue;
            }
            if url.scheme() == Scheme::InProcess {
                return Err("--listen-upstream: inproc:// is for programs that embed the service; nobody else could reach it".into());
            }
            #[cfg(feature = "http2")]
            let options = &announcing(url, &parsed, &bound, options.clone());
            let server = UrlServer::bind(text, options).await;
            bound[at] = Some(server.map_err(|error| cannot_listen(text, &error))?);
        }
    }
    Ok(bound.into_iter().flatten().collect())
}

/// The options of a server at this URL, which announces one of those that are bound.
#[cfg(feature = "http2")]
fn announcing(
    url: &Url,
    urls: &[Url],
    bound: &[Option<UrlServer>],
    mut options: ServerOptions,
) -> ServerOptions {
    if url.scheme() != Scheme::Https {
        return options;
    }
    let servers = urls.iter().zip(bound);
    let port = servers
        .filter(|(http3, _)| is_http3_of(http3, url))
        // As it was bound: what was asked for may leave the choice.
        .find_map(|(_, server)| Url::parse(server.as_ref()?.url()).ok()?.port());
    options.http2.alt_svc = port.map(AltSvc::new);
    options
}

/// Whether clients of `https` reach this one too, at the host that they know.
#[cfg(feature = "http2")]
fn is_http3_of(http3: &Url, https: &Url) -> bool {
    let ip = http3.host().and_then(|host| host.parse().ok());
    let is_everywhere = ip.is_some_and(|ip: IpAddr| ip.is_unspecified());
    http3.scheme() == Scheme::H3 && (is_everywhere || http3.host() == https.host())
}

fn cannot_listen(url: &str, error: &UrlError) -> String {
    let hint = if matches!(error, UrlError::NoCertificate(_)) {
        ": give --tls-cert and --tls-key, or --dev-tls"
    } else {
        ""
    };
    format!("cannot listen for upstreams on {url}: {error}{hint}")
}
