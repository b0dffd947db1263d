import { leaks } from './leaks.ts'
import type { Projection } from './projection.ts'
import { refusedEvents } from './refusedEvents.ts'
import { retiredSecretUses } from './retiredSecretUses.ts'
import { rotatedSecrets } from './rotatedSecrets.ts'
import { tokenActivity } from './tokenActivity.ts'
import { tokenHistory } from './tokenHistory.ts'
import { tokens } from './tokens.ts'
import { tokenUsage } from './tokenUsage.ts'

/** Every read model there is. */
export const projections: readonly Projection[] = [
  tokens,
  tokenHistory,
  tokenUsage,
  tokenActivity,
  rotatedSecrets,
  retiredSecretUses,
  leaks,
  refusedEvents,
]
