/** The edge: proxy, route files, DNS providers, certificates, and the containers whose names lead nowhere. */
import { Alert, Code, Skeleton, Stack, Text } from "@mantine/core";
import type { ReactNode } from "react";
import { Link } from "react-router";
import type { EdgeStatus } from "../api/types";
import containerClasses from "../containers/containers.module.css";
import { useServerNow } from "../layout/clock";
import { Name } from "../layout/Name";
import { Problem } from "../layout/Problem";
import { Section } from "../layout/Section";
import { TimeAgo } from "../layout/TimeAgo";
import { ToneBadge } from "../layout/ToneBadge";
import { COLOUR_OF, type Tone } from "../layout/tone";
import { countRecords, describeCertificateEnd, judgeEdge, nameCertificate, nameFault, tellLook } from "./edge";
import classes from "./platform.module.css";
import { useEdge } from "./queries";

export function EdgeTab() {
  const query = useEdge();
  const edge = query.data;
  if (query.isPending) return <Stack gap="md" role="status" aria-label="Loading the edge"><Skeleton h={90} /><Skeleton h={160} /></Stack>;
  return (
    <Stack gap="md" data-testid="edge">
      {edge && <Standing edge={edge} />}
      {query.error && <Problem error={query.error} title={edge ? "What is shown may be old" : "The edge cannot be read"} onRetry={() => void query.refetch()} />}
      {edge && (
        <>
          {edge.faults.length > 0 && <Faults edge={edge} />}
          <Proxy edge={edge} />
          <Certificates edge={edge} />
          <Providers edge={edge} />
        </>
      )}
    </Stack>
  );
}

function Standing({ edge }: { edge: EdgeStatus }) {
  const now = useServerNow(true, 5_000);
  const { tone, title, detail } = judgeEdge(edge, now);
  return (
    <Alert color={COLOUR_OF[tone]} title={title} data-testid="edge-standing" data-tone={tone}>
      {detail && <Text size="sm">{detail}</Text>}
      {edge.outages.map(({ code, message, since }) => (
        <Text key={code} size="sm" component="div" style={{ overflowWrap: "anywhere" }} data-testid={`outage-${code}`}>
          {message} It began <TimeAgo time={since} />.
        </Text>
      ))}
      {edge.lookedAt && <Text size="sm" component="div" className="numbers">Last look <TimeAgo time={edge.lookedAt} />: {tellLook(edge)}.</Text>}
    </Alert>
  );
}

function Faults({ edge: { faults, faultsLeftOut, faultCounts } }: { edge: EdgeStatus }) {
  const counts = Object.entries(faultCounts).map(([fault, count]) => `${nameFault(fault)}: ${count}`);
  return (
    <Section title="Containers that cannot be reached" about={counts.join(" · ")}>
      <ul className={classes["list"]} data-testid="edge-faults">
        {faults.map(({ vmid, name, faults: words }) => (
          <li key={vmid} className={classes["item"]}>
            <div className={classes["what"]}><Link className={classes["link"]} to={`/containers/${vmid}`}><Name text={name} /></Link><Text size="xs" c="dimmed" fw={400} className="numbers">{vmid}</Text></div>
            <Text size="sm" className={classes["text"]}>{words.map(nameFault).join(", ")}</Text>
          </li>
        ))}
      </ul>
      {faultsLeftOut > 0 && <Text size="sm" c="dimmed" mt="xs">And {faultsLeftOut} more.</Text>}
    </Section>
  );
}

function Proxy({ edge: { proxy, files } }: { edge: EdgeStatus }) {
  return (
    <Section title="Proxy" action={proxy && <State isGood={proxy.isReachable} good="answers" bad="away" testId="proxy-state" />}>
      {!proxy && <Text size="sm" c="dimmed">Nobody has looked yet.</Text>}
      {proxy && (
        <dl className={containerClasses["facts"]}>
          <Fact name="Version">{proxy.version ?? "not known"}</Fact>
          <Fact name="Routers"><span className="numbers">{proxy.routers ?? "not known"}</span>{proxy.refused ? `, ${proxy.refused} of which it refuses to use` : ""}</Fact>
          <Fact name="Route files">{files === null ? "Nothing is told of the directory" : <span className="numbers">{files.count ?? "not known"}</span>}</Fact>
          {proxy.trouble && <Fact name="Trouble">{proxy.trouble}</Fact>}
          {files?.trouble && <Fact name="Directory">{files.trouble}</Fact>}
        </dl>
      )}
      {files && files.quarantined.length > 0 && (
        <div className={classes["quarantine"]} data-testid="quarantine">
          <Text size="sm" fw={600}>Moved out of the way, since they kept the proxy from reading any file</Text>
          <ul className={classes["list"]}>
            {files.quarantined.map(({ name, where, reason, movedAt }) => (
              <li key={`${where} ${name}`} className={classes["item"]}>
                <div className={classes["what"]}>{name}<Text size="xs" c="dimmed" fw={400} component="div"><TimeAgo time={movedAt} /></Text></div>
                <div className={classes["text"]}><Text size="sm">{reason}</Text><Text size="xs" c="dimmed">It lies in <Code>{where}</Code></Text></div>
              </li>
            ))}
          </ul>
        </div>
      )}
    </Section>
  );
}

function Certificates({ edge: { certificates } }: { edge: EdgeStatus }) {
  const now = useServerNow(true, 60_000);
  return (
    <Section title="Certificates" about="What browsers are shown, those that end first.">
      {certificates.length === 0 && <Text size="sm" c="dimmed">Names are served without TLS here, or none was looked at yet.</Text>}
      <ul className={classes["list"]} data-testid="certificates">
        {certificates.map((shown) => (
          <li key={`${shown.example} ${shown.certificate.notAfter}`} className={classes["item"]}>
            <div className={classes["what"]}>{nameCertificate(shown)}</div>
            <div className={classes["text"]}>
              <ToneBadge words={describeCertificateEnd(shown, now)} testId="certificate-end" />
              <Text size="xs" c="dimmed" component="div">by <Name text={shown.certificate.issuer} /> · {shown.hosts === 1 ? shown.example : `${shown.hosts} hosts`} · seen <TimeAgo time={shown.seenAt} /></Text>
            </div>
          </li>
        ))}
      </ul>
    </Section>
  );
}

function Providers({ edge: { providers } }: { edge: EdgeStatus }) {
  return (
    <Section title="DNS providers">
      {providers === null && <Text size="sm" c="dimmed">None is configured; names are kept by hand.</Text>}
      <ul className={classes["list"]} data-testid="providers">
        {(providers ?? []).map(({ name, kind, zone, isReachable, surveyedAt, records, trouble }) => (
          <li key={name} className={classes["item"]}>
            <div className={classes["what"]}>{name}<Text size="xs" c="dimmed" fw={400}>{kind} · {zone}</Text></div>
            <div className={classes["text"]}>
              <State isGood={isReachable && trouble === null} good="answers" bad={isReachable ? "in trouble" : "away"} testId={`provider-${name}`} />
              <Text size="xs" c="dimmed" component="div" className="numbers">{countRecords(records)}, looked at <TimeAgo time={surveyedAt} /></Text>
              {trouble && <Text size="sm">{trouble}</Text>}
            </div>
          </li>
        ))}
      </ul>
    </Section>
  );
}

function State({ isGood, good, bad, testId }: { isGood: boolean; good: string; bad: string; testId: string }) {
  const tone: Tone = isGood ? "good" : "bad";
  return <ToneBadge words={{ label: isGood ? good : bad, tone, meaning: isGood ? "It answers as it should." : "Look at its log, and at its table in the configuration." }} testId={testId} />;
}

function Fact({ name, children }: { name: string; children: ReactNode }) {
  return <><dt>{name}</dt><dd>{children}</dd></>;
}
