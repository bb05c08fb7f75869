//! The page itself.

use super::{
    host::Host,
    html::{Escaped, segment},
};
use crate::{agent::Status, app::ContainerView};
use std::fmt::{Display, Write};

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1b1f24;background:#fff}\
h1{font-size:1.6rem;margin:0}h2{font-size:1.1rem;margin:2rem 0 .5rem}table{border-collapse:collapse;width:100%}\
th,td{text-align:left;padding:.35rem .75rem .35rem 0;border-bottom:1px solid #d8dee4;vertical-align:top}th{font-weight:600;white-space:nowrap}\
td{overflow-wrap:anywhere}code{font:14px ui-monospace,monospace}.good{color:#116329}.bad{color:#a40e26}.note{background:#fff8c5;padding:.5rem .75rem}\
@media(prefers-color-scheme:dark){body{background:#0d1117;color:#e6edf3}th,td{border-color:#30363d}.good{color:#56d364}.bad{color:#ff7b72}.note{background:#3a2d00}a{color:#79c0ff}}";

/// What is on it.
pub(super) struct Page<'a> {
    pub(super) status: Status,
    pub(super) containers: &'a [ContainerView],
    pub(super) host: Host,
}

impl Page<'_> {
    pub(super) fn render(&self) -> String {
        let facts = &self.status.facts;
        let name = Escaped(&facts.app_name);
        let mut out = format!(
            "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
             <title>{name}</title><style>{STYLE}</style></head><body><h1>{name}</h1>"
        );
        self.state(&mut out);
        if facts.public.tcbinfo {
            self.measured(&mut out);
        }
        if facts.public.sysinfo {
            self.parts(&mut out);
            self.guest(&mut out);
        } else if facts.public.logs {
            self.log_links(&mut out);
        }
        out.push_str("<p><a href=\"/info\">This page as JSON</a></p></body></html>\n");
        out
    }

    fn state(&self, out: &mut String) {
        let running = self.status.app.phase == crate::app::AppPhase::Running;
        let (class, text) = if running {
            ("good", "The app runs.")
        } else {
            ("bad", "The app does not run now.")
        };
        let _ = write!(out, "<p class=\"{class}\">{text}</p>");
        let lease = &self.status.lease;
        if lease.phase == "lost" {
            out.push_str("<p class=\"note\">Its lease is lost: the network does not confirm now that this app is allowed to run.</p>");
        }
        if self.status.facts.simulated {
            out.push_str(
                "<p class=\"note\">This is a simulated machine. Nothing here is protected from its host.</p>",
            );
        }
        let facts = &self.status.facts;
        table(
            out,
            "Identity",
            &[("App", &facts.app_id), ("Instance", &facts.instance_id)],
        );
    }

    fn measured(&self, out: &mut String) {
        let facts = &self.status.facts;
        let provider = format!("{} {}", facts.key_provider, facts.key_provider_id);
        let storage = if facts.storage_encrypted {
            "encrypted"
        } else {
            "not encrypted"
        };
        table(
            out,
            "Measured",
            &[
                ("Compose hash", &facts.compose_hash),
                ("OS image", &facts.os_image_hash),
                ("Keys from", &provider),
                ("Storage", &storage),
            ],
        );
        out.push_str(
            "<p>These words prove nothing by themselves: ask the app for a quote and verify it.</p>",
        );
    }

    fn parts(&self, out: &mut String) {
        out.push_str("<h2>Containers</h2><table><tr><th>Service</th><th>State</th><th>Image</th><th>Ports</th><th></th></tr>");
        for container in self.containers {
            let health = container.health.as_deref().map(|health| format!(", {health}"));
            let _ = write!(
                out,
                "<tr><td>{}</td><td>{}{}</td><td><code>{}</code></td><td>{}</td><td>",
                Escaped(&container.service),
                Escaped(&container.state),
                Escaped(health.unwrap_or_default()),
                Escaped(container.image.as_deref().unwrap_or_default()),
                Escaped(container.ports.join(" ")),
            );
            if self.status.facts.public.logs {
                let _ = write!(out, "<a href=\"/logs/{}\">log</a>", segment(&container.service));
            }
            out.push_str("</td></tr>");
        }
        out.push_str("</table>");
    }

    fn log_links(&self, out: &mut String) {
        out.push_str("<h2>Logs</h2><ul>");
        for container in self.containers {
            let (path, name) = (segment(&container.service), Escaped(&container.service));
            let _ = write!(out, "<li><a href=\"/logs/{path}\">{name}</a></li>");
        }
        out.push_str("</ul>");
    }

    fn guest(&self, out: &mut String) {
        let host = &self.host;
        let load = host
            .load
            .map(|[one, five, fifteen]| format!("{one} {five} {fifteen}"))
            .unwrap_or_default();
        let mib = |bytes: u64| bytes / (1024 * 1024);
        let memory = host
            .memory
            .map(|(total, available)| format!("{} MiB of {} MiB available", mib(available), mib(total)))
            .unwrap_or_default();
        let uptime = host
            .uptime
            .map(|seconds| format!("{seconds:.0} s"))
            .unwrap_or_default();
        let cpus = host.cpus.map(|cpus| cpus.to_string()).unwrap_or_default();
        table(
            out,
            "Machine",
            &[
                ("Load", &load),
                ("Memory", &memory),
                ("Up for", &uptime),
                ("Processors", &cpus),
            ],
        );
        out.push_str("<p><a href=\"/metrics\">Metrics</a></p>");
    }
}

fn table(out: &mut String, title: &str, rows: &[(&str, &dyn Display)]) {
    let _ = write!(out, "<h2>{title}</h2><table>");
    for (name, value) in rows {
        let _ = write!(
            out,
            "<tr><th>{name}</th><td><code>{}</code></td></tr>",
            Escaped(value)
        );
    }
    out.push_str("</table>");
}
