/** Under which keys the platform is kept where the live stream knows them too. */

/** Everything about agents' versions. */
export const ROLLOUTS = ["rollouts"] as const;
/** Every published version. */
export const PUBLISHED = ["published"] as const;
