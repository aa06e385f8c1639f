/** What is asked for anew once the live stream has told of a change, or could not. */
import { ADDONS } from "../addons/keys";
import { ME } from "../api/query";
import { CATALOG } from "../catalog/queries";
import { LIST } from "../containers/queries";
import { CUSTOMER } from "../customers/queries";
import { GAME } from "../games/keys";
import { HISTORY } from "../history/queries";
import { PUBLISHED, ROLLOUTS } from "../platform/keys";
import { RUNTIMES } from "../runtimes/queries";

/** The catalog, and what of it stands elsewhere: where an upgrade leads, which versions there are. */
export const OF_CATALOG = [CATALOG, RUNTIMES, ADDONS, GAME, PUBLISHED] as const;
/** The stream tells changes alone; what happened before it opened has to be asked for. */
export const OF_ALL = [ME, CUSTOMER, LIST, ["container"], HISTORY, ROLLOUTS, ...OF_CATALOG] as const;
