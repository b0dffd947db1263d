import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js'
import { type EventType, eventSchemas, type RecordedEvent } from '../../domain/events.ts'

/** RFC 3339, without a calendar: half a million of them are looked at in a second of a rebuild. */
const TIME =
  /^\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])T(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)$/

/** What text may be is a matter for those who write it. */
const OF_TEXT: ReadonlySet<string> = new Set(['pattern', 'minLength', 'maxLength'])

const withoutText = (schema: object): object =>
  JSON.parse(JSON.stringify(schema, (key, value: unknown) => (OF_TEXT.has(key) ? undefined : value)))

// The schemas are our own: to look at them at every start would take longer than all else of it.
const ajv = new Ajv2020({ allowUnionTypes: true, formats: { 'date-time': TIME }, validateSchema: false })
const validators = new Map<EventType, ValidateFunction>()

function validatorOf(type: EventType): ValidateFunction {
  const known = validators.get(type)
  if (known) return known
  const made = ajv.compile(withoutText(eventSchemas[type]))
  validators.set(type, made)
  return made
}

/**
 * Has an event, in its newest version, the members that projections rely on, each of its type? What is sound by its link
 * may still say what no schema allows.
 * @returns what is wrong with it, without its values; null for a good one
 */
export function flawOf({ type, data, metadata }: RecordedEvent): string | null {
  const validate = validatorOf(type)
  if (!validate(data)) return `its data are not what a ${type} has${placeOf(validate)}`
  return hasMetadata(metadata) ? null : 'its metadata do not say who did it, or when'
}

function placeOf({ errors }: ValidateFunction): string {
  const [error] = errors ?? []
  return error ? `: ${error.instancePath.slice(0, 64) || 'the whole'} ${error.message ?? ''}` : ''
}

/** What is read of it. Members may be added to metadata without a new version, so no schema is asked. */
function hasMetadata(metadata: unknown): boolean {
  const { at, actor, requestId } = metadata as { at?: unknown; actor?: unknown; requestId?: unknown }
  const { kind, id } = (actor ?? {}) as { kind?: unknown; id?: unknown }
  return (
    typeof at === 'string' &&
    TIME.test(at) &&
    [requestId, kind, id].every((member) => typeof member === 'string')
  )
}
