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

/** To be said where somebody asks for a time that is still to come. */
export const NOT_YET = 'That time has not come yet: what follows is what the history says so far.\n'

type EventData = Pick<ShownEvent, 'type' | 'data'>

/**
 * What each event says. Of a change, what was there before as well: `name "CI" → "CI deploy"`. What happened to a secret
 * is told in words, since it replaces no member.
 */
export function changesOf(events: readonly EventData[]): string[] {
  const known: Record<string, unknown> = {}
  return events.map((event) => {
    const aboutSecrets = secretsText(event)
    if (aboutSecrets !== null) return aboutSecrets
    const isState = STATE.includes(event.type)
    const members = Object.entries(event.data).filter(([name]) => name !== 'token_id')
    const changes = members.map(([name, value]) => {
      const old = isState && Object.hasOwn(known, name) ? `${shortly(known[name])} → ` : ''
      if (isState) known[name] = value
      return `${name} ${old}${shortly(value)}`
    })
    return changes.join(', ')
  })
}

/** The events whose data are what the token is from then on. */
const STATE = ['TokenCreated', 'TokenImported', 'TokenUpdated']

/** @returns null if it is about something else */
function secretsText({ type, data }: EventData): string | null {
  switch (type) {
    case 'TokenLeaked':
      return `secret ${shortly(data.hint)} was found by ${shortly(data.source)} as ${shortly(data.type)} at ${shortly(data.url)}`
    case 'TokenRotationStarted':
      return `secret ${shortly(data.hint)} is new; ${olderText(data)}`
    case 'TokenSecretActivated': {
      const grace =
        data.grace_seconds === null
          ? ''
          : `; the older one is accepted for ${shortly(data.grace_seconds)} s more`
      return `secret ${shortly(data.hint)} was used for the first time${grace}`
    }
    case 'TokenRotationEnded': {
      const which = data.status === 'pending' ? 'which nobody had used' : 'the older one'
      return `secret ${shortly(data.hint)}, ${which}, is dead; ${hintIn(data.remaining)} goes on`
    }
    default:
      return null
  }
}

function olderText({ beside, activate, grace_seconds: seconds }: EventData['data']): string {
  const older = hintIn(beside)
  const { retires_at: until } = beside as { retires_at: string | null }
  if (until !== null) return `${older} is accepted until ${until}, as before`
  if (activate === 'on_first_use')
    return `${older} is accepted until ${shortly(seconds)} s after the first use of the new one`
  return seconds === 0 ? `${older} is dead` : `${older} is accepted for ${shortly(seconds)} s more`
}

const hintIn = (secret: unknown): string => shortly((secret as { hint: string }).hint)

const shortly = (value: unknown): string => (value === null ? 'none' : printable(JSON.stringify(value)))
