import { Paper, Skeleton, Stack, Text, Title } from "@mantine/core";
import { useAddonOffers, useRuntimeOffers, useTemplateCatalog } from "../catalog/queries";
import { Problem } from "../layout/Problem";
import { BackTo } from "../layout/BackTo";
import { usePageTitle } from "../layout/title";
import { useMe } from "../session/session";
import { CreateForm } from "./CreateForm";
import { useLimits } from "./queries";
import { whyNoCreation } from "./whyNoCreation";

export function CreatePage() {
  usePageTitle("Create container");
  const runtimes = useRuntimeOffers();
  const addons = useAddonOffers();
  const templates = useTemplateCatalog();
  const limits = useLimits();
  const { data: me } = useMe();
  const whyNot = whyNoCreation(me);
  const error = runtimes.error ?? addons.error ?? templates.error ?? limits.error;
  const isLoaded = runtimes.data && addons.data && templates.data && limits.data;
  const retry = () => {
    for (const query of [runtimes, addons, templates, limits]) if (query.isError) void query.refetch();
  };
  return (
    <Stack maw={640} gap="md">
      <div>
        <BackTo to="/" label="Containers" />
        <Title order={1}>Create container</Title>
        <Text c="dimmed" size="sm">It is ready in seconds to a minute; you watch every step.</Text>
      </div>
      {whyNot !== null ? (
        // Nobody fills in a form that is refused at its end.
        <Paper><Text size="sm" style={{ overflowWrap: "anywhere" }} data-testid="may-not">{whyNot}</Text></Paper>
      ) : isLoaded ? (
        <CreateForm runtimes={runtimes.data} addons={addons.data} templates={templates.data} limits={limits.data} />
      ) : error ? (
        <Problem error={error} title="What there is to choose from cannot be read" onRetry={retry} />
      ) : (
        <Paper><Stack role="status" aria-label="Loading the form">{[60, 60, 60, 36].map((height, row) => <Skeleton key={row} h={height} />)}</Stack></Paper>
      )}
    </Stack>
  );
}
