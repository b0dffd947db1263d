import type { FoundThen } from '../../src/application/tokens/asOf.ts'
import { type presentEvent, presentTokenAt } from '../../src/presentation/tokens.ts'
import { printable, table } from './output.ts'

/** Shows a token and its history to people. */

type ShownEvent = ReturnType<typeof presentEvent>

export function tokenThen(tokenId: string, { token, at }: FoundThen): object {
  const { at: _, ...shown } = presentTokenAt(tokenId, token, at)
  return shown
}

export const tokenTable = (token: object): string =>
  table(['member', 'value'], Object.entries(token).map(toRow))

const toRow = ([name, value]: [string, unknown]): string[] => [
  name,
  typeof value === 'string' ? value : shortly(value),
]

export function eventsTable(events: readonly ShownEvent[]): string {
  const changes = changesOf(events)
  const rows = events.map(({ revision, at, type, actor, request_id }, i) => [
    revision,
    at,
    type,
    `${actor.kind} ${actor.id}`,
    request_id,
    changes[i] ?? '',
  ])
  return table(['revision', 'time', 'type', 'actor', 'request id', 'what changed'], rows)
}

/** What each event has changed: `name "CI" → "CI deploy"`. There is no arrow for a member that had no value before. */
export function changesOf(events: readonly Pick<ShownEvent, 'type' | 'data'>[]): string[] {
  const known: Record<string, unknown> = {}
  return events.map(({ data }) => {
    const changes = Object.entries(data)
      .filter(([name]) => name !== 'token_id')
      .map(([name, value]) => {
        const old = Object.hasOwn(known, name) ? `${shortly(known[name])} → ` : ''
        known[name] = value
        return `${name} ${old}${shortly(value)}`
      })
    return changes.join(', ')
  })
}

const shortly = (value: unknown): string => (value === null ? 'none' : printable(JSON.stringify(value)))
