import { expect } from 'chai'
import { projections } from '../../../projections/index.ts'
import type { Projection } from '../../../projections/projection.ts'
import { refusedEvents } from '../../../projections/refusedEvents.ts'
import type { EventType } from '../../../src/domain/events.ts'
import { isLifecycleType } from '../../../src/domain/tokenEvents.ts'
import { lifecycleKinds, versions } from '../../../src/domain/upcast.ts'

/**
 * For each projection and the version that is raised by hand: the versions of the events that its documents were made
 * from. Lines are added, never edited: instead of editing one, raise the projection's version. If `versionOfLife`
 * counts the events of a token's life, they are not in the line.
 */
const MADE_FROM: Record<string, Record<string, number>> = {
  'tokens 3': { TokenUsed: 2, UsageRolledUp: 1 },
  'tokenHistory 3': {},
  'tokenHistory 4': {},
  'tokenUsage 2': { TokenUsed: 2, UsageRolledUp: 1 },
  'tokenActivity 2': { TokenUsed: 2, TokenCreated: 1, TokenUpdated: 1, TokenRevoked: 1 },
  'tokenActivity 3': {
    TokensUsed: 1,
    TokenUsed: 2,
    TokenCreated: 2,
    TokenImported: 2,
    TokenUpdated: 2,
    TokenRevoked: 1,
    TokenLeaked: 1,
    TokenRotationStarted: 1,
    TokenSecretActivated: 1,
    TokenRotationEnded: 1,
    TokenExpiring: 1,
    TokenExpired: 1,
  },
  'rotatedSecrets 1': { TokenRotationStarted: 1 },
  'refusedEvents 1': { TokenUsed: 2 },
  'retiredSecretUses 1': { RetiredSecretsUsed: 1 },
  'tokens 4': { TokensUsed: 1, TokenUsed: 2, UsageRolledUp: 2 },
  'tokenUsage 3': { TokensUsed: 1, TokenUsed: 2, UsageRolledUp: 2 },
  'leaks 1': { TokenLeaked: 1 },
  'refusedEvents 2': { TokenUsed: 2, UsageRolledUp: 2 },
}

/** `versionOfLife` adds three digits to the version that is raised by hand. */
const countsLife = ({ version }: Projection): boolean =>
  version % 1_000 === lifecycleKinds() && version > 1_000

/**
 * An older process refuses newer versions of any event, but ignores types outside of a token's life that it does not
 * know.
 */
const newerVersions = (Object.keys(versions) as EventType[]).filter((type) => versions[type].current > 1)

function madeFrom(projection: Projection): Record<string, number> {
  const taken = projection === refusedEvents ? newerVersions : projection.events
  const counted = taken.filter((type) => !(countsLife(projection) && isLifecycleType(type)))
  return Object.fromEntries(counted.map((type) => [type, versions[type].current]))
}

describe('the version of a projection', () => {
  for (const projection of projections) {
    const { name, version } = projection
    const line = `${name} ${countsLife(projection) ? Math.floor(version / 1_000) : version}`

    it(`is raised by hand when it takes other events, or one of them has a new version: ${line}`, () => {
      const advice = `raise the version in projections/${name}.ts, then add a line here for the new one`
      expect(madeFrom(projection), advice).to.deep.equal(MADE_FROM[line])
    })
  }
})
