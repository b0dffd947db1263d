import { expect } from 'chai'
import type { Fact } from '../../../src/domain/events.ts'
import { Refusal, type RefusalCode } from '../../../src/domain/errors.ts'
import type { LifecycleEvent } from '../../../src/domain/events.ts'
import type { LifecycleType } from '../../../src/domain/tokenEvents.ts'
import { tokenStream } from '../../../src/domain/streams.ts'
import { versions } from '../../../src/domain/upcast.ts'
import { evolve, initialState, type TokenState } from '../../../src/domain/token.ts'

/** Given the events of a token, when a command is decided, then this is the result. */

export type LifecycleFact = Fact<LifecycleType>

export const TOKEN_ID = '00000000-0000-7000-8000-000000000001'

/** The time at which the fact of this revision was recorded. */
export const timeOf = (revision: number): string => new Date(Date.UTC(2026, 2, 1, 10, revision)).toISOString()

export function recorded(fact: LifecycleFact, revision: number): LifecycleEvent {
  const id = `00000000-0000-7000-9000-${String(revision).padStart(12, '0')}`
  const metadata: LifecycleEvent['metadata'] = {
    at: timeOf(revision),
    actor: { kind: 'jwt', id: 'a' },
    requestId: 'r',
    correlationId: 'r',
    schemaVersion: versions[fact.type].current,
    chain: '0'.repeat(64),
  }
  return { ...fact, id, metadata, stream: tokenStream(TOKEN_ID), revision, position: String(revision + 1) }
}

export function given(...facts: LifecycleFact[]) {
  const state = facts.map(recorded).reduce(evolve, initialState)
  return {
    state,
    when: (command: (state: TokenState) => LifecycleFact | null) => ({
      /** Null if there is no event. */
      thenGives: (expected: LifecycleFact | null) => expect(command(state)).to.deep.equal(expected),
      thenRefuses: (code: RefusalCode) =>
        expect(() => command(state))
          .to.throw(Refusal)
          .with.property('code', code),
    }),
  }
}
