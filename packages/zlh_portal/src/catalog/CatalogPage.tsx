/** Everything that can be installed, as the signed catalog says it. */
import { Alert, Badge, Button, Code, Group, Paper, Skeleton, Stack, Text, TextInput, Title, Tooltip } from "@mantine/core";
import type { ReactNode } from "react";
import { Link } from "react-router";
import type { RuntimeOffer, RuntimeVersionOffer, TemplateOffer } from "../api/types";
import { useParameters } from "../layout/address";
import { CopyButton } from "../layout/CopyButton";
import { SearchIcon } from "../layout/icons";
import { Problem } from "../layout/Problem";
import { Said } from "../layout/Said";
import { TimeAgo } from "../layout/TimeAgo";
import { usePageTitle } from "../layout/title";
import { useFilterText } from "../layout/useFilterText";
import classes from "./catalog.module.css";
import { describeGame, namePlatform, searchOffers, tellSize } from "./facts";
import { useAddonCatalog, useCatalogSummary, useRuntimeCatalog, useTemplateCatalog } from "./queries";

export function CatalogPage() {
  usePageTitle("Catalog");
  const { parameters, set } = useParameters();
  const [search, setSearch] = useFilterText({ parameters, set });
  const runtimes = useRuntimeCatalog();
  const addons = useAddonCatalog();
  const templates = useTemplateCatalog();
  const summary = useCatalogSummary();
  return (
    <Stack gap="md">
      <div>
        <Title order={1}>Catalog</Title>
        <Text c="dimmed" size="sm" component="div">What can be installed here. It is signed: what is not in it, or is not as it says, is never installed.</Text>
        {summary.data && <Signed publishedAt={summary.data.publishedAt} expiresAt={summary.data.expiresAt} />}
      </div>
      {summary.data?.trouble && (
        <Alert color="orange" title="The catalog cannot be read anew" data-testid="catalog-trouble">
          <Text size="sm" style={{ overflowWrap: "anywhere" }}><Said text={summary.data.trouble} /></Text>
          <Text size="sm" mt={4}>What is shown was read <TimeAgo time={summary.data.readAt} />, and stays installable until it expires.</Text>
        </Alert>
      )}
      <TextInput
        aria-label="Search the catalog" placeholder="Name, version, edition, licence…" type="search" leftSection={<SearchIcon />} maw={420}
        value={search} onChange={(event) => setSearch(event.currentTarget.value)}
      />
      <Section title="Runtimes" query={{ ...runtimes, data: runtimes.data?.runtimes }} search={search} empty="No runtime is offered, so no dev environment can be created. Whoever runs this installation publishes them with zlh-api artifacts build and publish.">
        {(offer) => <OfferCard key={offer.name} offer={offer} isRuntime />}
      </Section>
      <Section title="Addons" query={addons} search={search} empty="No addon is offered here, such as an editor in the browser.">
        {(offer) => <OfferCard key={offer.name} offer={offer} isRuntime={false} />}
      </Section>
      <Section title="Game templates" query={templates} search={search} empty="No game template is offered here, so game servers cannot be created.">
        {(offer) => <GameCard key={offer.name} offer={offer} />}
      </Section>
    </Stack>
  );
}

function Signed({ publishedAt, expiresAt }: { publishedAt: string | null; expiresAt: string | null }) {
  if (!publishedAt && !expiresAt) return null;
  return (
    <Text c="dimmed" size="sm" component="div" data-testid="signed">
      {publishedAt && <>Published <TimeAgo time={publishedAt} /></>}
      {publishedAt && expiresAt && " · "}
      {expiresAt && <>holds until <time dateTime={expiresAt}>{new Date(expiresAt).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" })}</time></>}
    </Text>
  );
}

interface Query<T> {
  data: readonly T[] | undefined;
  error: unknown;
  refetch: () => unknown;
}

interface SectionProps<T> {
  title: string;
  query: Query<T>;
  search: string;
  empty: string;
  children: (offer: T) => ReactNode;
}

function Section<T extends RuntimeOffer | TemplateOffer>({ title, query, search, empty, children }: SectionProps<T>) {
  const { data, error, refetch } = query;
  const found = data ? searchOffers(data, search) : [];
  return (
    <section aria-label={title}>
      <Title order={2} mb="xs">{title}</Title>
      {!data && (error ? <Problem error={error} title={`${title} cannot be read`} onRetry={() => void refetch()} /> : <Skeleton h={90} aria-label={`Loading ${title.toLowerCase()}`} role="status" />)}
      {data?.length === 0 && <Paper><Text size="sm" c="dimmed">{empty}</Text></Paper>}
      {data && data.length > 0 && found.length === 0 && <Text size="sm" c="dimmed">None of them matches “{search}”.</Text>}
      <Stack gap="sm">{found.map((offer) => children(offer))}</Stack>
    </section>
  );
}

function OfferCard({ offer, isRuntime }: { offer: RuntimeOffer; isRuntime: boolean }) {
  return (
    <Paper data-testid={`offer-${offer.name}`}>
      <Group justify="space-between" gap="xs" mb={4}>
        <Title order={3} fz="md">{offer.title} {offer.title !== offer.name && <Text span size="sm" c="dimmed" fw={400}>{offer.name}</Text>}</Title>
        {isRuntime && <CreateLink query="runtime" offer={offer} />}
      </Group>
      <ul className={classes["versions"]} aria-label={`Versions of ${offer.title}`}>
        {offer.versions.map((entry) => <VersionLine key={entry.version} entry={entry} />)}
      </ul>
    </Paper>
  );
}

function GameCard({ offer }: { offer: TemplateOffer }) {
  return (
    <Paper data-testid={`offer-${offer.name}`}>
      <Group justify="space-between" gap="xs" mb={4}>
        <Title order={3} fz="md">{offer.title} {offer.title !== offer.name && <Text span size="sm" c="dimmed" fw={400}>{offer.name}</Text>}</Title>
        <CreateLink query="template" offer={offer} />
      </Group>
      {offer.summary && <Text size="sm">{offer.summary}</Text>}
      <Text size="sm" c="dimmed" mb={4}>
        {describeGame(offer)}
      </Text>
      <Group gap={6} component="ul" p={0} m={0} aria-label={`Versions of ${offer.title}`}>
        {offer.versions.map(({ version, channel, default: isDefault }) => (
          <Badge key={version} component="li" variant={isDefault ? "light" : "outline"} color={channel === "candidate" ? "orange" : isDefault ? "blue" : "gray"} tt="none" data-testid={`offered-${version}`}>
            {version}{isDefault ? " · default" : ""}{channel === "candidate" ? " · candidate" : ""}
          </Badge>
        ))}
      </Group>
    </Paper>
  );
}

function CreateLink({ query, offer: { name, title } }: { query: "runtime" | "template"; offer: { name: string; title: string } }) {
  return <Button component={Link} to={`/containers/new?${query}=${encodeURIComponent(name)}`} size="compact-sm" variant="default" aria-label={`Create container: ${title}`}>Create container</Button>;
}

function VersionLine({ entry }: { entry: RuntimeVersionOffer }) {
  const { licence, source, sha256, platforms } = entry;
  return (
    <li className={classes["version"]} data-testid={`offered-${entry.version}`}>
      <Group gap={8} className={classes["number"] ?? ""}>
        <Text fw={600} className="numbers" style={{ overflowWrap: "anywhere" }}>{entry.version}</Text>
        {entry.edition && <Badge variant="outline" color="gray">{entry.edition}</Badge>}
        {entry.default && <Tooltip label="Taken where nobody names a version."><Badge variant="light" tabIndex={0}>Default</Badge></Tooltip>}
        {entry.channel === "candidate" && <Tooltip label="Offered for trying out; it becomes stable once it is promoted."><Badge variant="light" color="orange" tabIndex={0}>Candidate</Badge></Tooltip>}
      </Group>
      <Text size="sm" c="dimmed" className="numbers">{tellSize(entry)}</Text>
      <Text size="sm" c="dimmed">{licence}</Text>
      <Text size="sm" c="dimmed">{platforms.map(namePlatform).join(", ")}</Text>
      {(source || sha256) && (
        <Text size="xs" c="dimmed" component="div" className={classes["origin"] ?? ""}>
          {source && <span>From <span className="mono">{source}</span></span>}
          {sha256 && <span className={classes["hash"]}>SHA-256 <Code title={sha256}>{sha256.slice(0, 12)}…</Code><CopyButton text={sha256} what="hash" /></span>}
        </Text>
      )}
    </li>
  );
}
