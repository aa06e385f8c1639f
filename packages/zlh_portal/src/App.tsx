/** The pages and what stands around them. */
import { MantineProvider } from "@mantine/core";
import { Notifications } from "@mantine/notifications";
import { QueryClientProvider } from "@tanstack/react-query";
import { createBrowserRouter, RouterProvider } from "react-router";
import { AccountPage } from "./account/AccountPage";
import { makeQueryClient } from "./api/query";
import { CatalogPage } from "./catalog/CatalogPage";
import { InvitationPage } from "./codes/InvitationPage";
import { PasswordResetPage } from "./codes/PasswordResetPage";
import { CreatePage } from "./containers/CreatePage";
import { DetailPage } from "./containers/DetailPage";
import { ListPage } from "./containers/ListPage";
import { CustomerPage } from "./customers/CustomerPage";
import { CustomersPage } from "./customers/CustomersPage";
import { BrokenPage } from "./layout/BrokenPage";
import { NotFoundPage } from "./layout/NotFoundPage";
import { Shell } from "./layout/Shell";
import { theme } from "./layout/theme";
import { PlatformPage } from "./platform/PlatformPage";
import { LoginPage } from "./session/LoginPage";
import { RequireSession } from "./session/RequireSession";

const queries = makeQueryClient();

const router = createBrowserRouter([
  {
    errorElement: <BrokenPage />,
    children: [
      { path: "/login", element: <LoginPage /> },
      { path: "/invitation", element: <InvitationPage /> },
      { path: "/password-reset", element: <PasswordResetPage /> },
      {
        element: <RequireSession><Shell /></RequireSession>,
        children: [
          {
            errorElement: <BrokenPage />,
            children: [
              { index: true, element: <ListPage /> },
              { path: "/containers/new", element: <CreatePage /> },
              { path: "/containers/:vmid/:tab?/:item?", element: <DetailPage /> },
              { path: "/catalog", element: <CatalogPage /> },
              { path: "/customers", element: <CustomersPage /> },
              { path: "/customers/:customer/:tab?", element: <CustomerPage /> },
              { path: "/platform/:tab?", element: <PlatformPage /> },
              { path: "/account/:tab?", element: <AccountPage /> },
              { path: "*", element: <NotFoundPage /> },
            ],
          },
        ],
      },
    ],
  },
]);

export function App() {
  return (
    <MantineProvider theme={theme} defaultColorScheme="auto">
      <QueryClientProvider client={queries}>
        <Notifications position="bottom-right" />
        <RouterProvider router={router} />
      </QueryClientProvider>
    </MantineProvider>
  );
}
