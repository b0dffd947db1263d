import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js'
import { type EventType, eventSchemas, type RecordedEvent } from '../../domain/events.ts'

/** RFC 3339, without checking the calendar: a rebuild looks at half a million times in a second. */
const TIME =
  /^\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])T(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)$/

/** Rules for text are checked when an event is written, and not again when it is read. */
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
 * Does an event, in its newest version, have the members that projections rely on, each of the right type? An event
 * with a sound link may still hold what no schema allows.
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

/** Checks the members that are read. No schema is used, since metadata may get new members without a new version. */
function hasMetadata(metadata: unknown): boolean {
  const { at, actor, requestId } = metadata as { at?: unknown; actor?: unknown; requestId?: unknown }
  const { kind, id } = (actor ?? {}) as { kind?: unknown; id?: unknown }
  return (
    typeof at === 'string' &&
    TIME.test(at) &&
    [requestId, kind, id].every((member) => typeof member === 'string')
  )
}
