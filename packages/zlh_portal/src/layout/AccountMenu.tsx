/** Who is signed in, and what does not stand in the header. */
import { ActionIcon, Menu } from "@mantine/core";
import { useNavigate } from "react-router";
import { useCustomersLink } from "../customers/useCustomersLink";
import { useMe, useSignOut, useWhyNot } from "../session/session";
import { PersonIcon } from "./icons";
import { Name } from "./Name";
import classes from "./Shell.module.css";
import { tellProblem } from "./tell";

export function AccountMenu() {
  const people = useCustomersLink();
  const mayViewPlatform = useWhyNot("platform:view") === null;
  const { data: me } = useMe();
  const signOut = useSignOut();
  const navigate = useNavigate();
  return (
    <Menu position="bottom-end" width={240}>
      <Menu.Target>
        <ActionIcon variant="default" size="lg" aria-label="Account menu"><PersonIcon /></ActionIcon>
      </Menu.Target>
      <Menu.Dropdown>
        <Menu.Label style={{ overflowWrap: "anywhere" }}><Name text={me?.user.email ?? ""} /></Menu.Label>
        <Menu.Item onClick={() => void navigate("/account")}>Account</Menu.Item>
        <Menu.Item className={classes["tight"] ?? ""} onClick={() => void navigate("/catalog")}>Catalog</Menu.Item>
        <Menu.Item hiddenFrom="sm" onClick={() => void navigate(people.to)}>{people.label}</Menu.Item>
        {mayViewPlatform && <Menu.Item hiddenFrom="sm" onClick={() => void navigate("/platform")}>Platform</Menu.Item>}
        <Menu.Item component="a" href="/api/docs" target="_blank" rel="noreferrer">API reference</Menu.Item>
        <Menu.Divider />
        <Menu.Item color="red" disabled={signOut.isPending} onClick={() => signOut.mutate(undefined, { onError: tellProblem("You are still signed in") })}>Sign out</Menu.Item>
      </Menu.Dropdown>
    </Menu>
  );
}
