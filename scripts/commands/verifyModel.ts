import { compareReadModel, type ReadModelComparison } from '../cli/compareReadModel.ts'
import type { Settings } from '../../src/settings/settings.ts'
import type { ExitCode, Io } from '../cli/command.ts'
import { logTo } from '../cli/logTo.ts'
import { refusedText } from '../cli/damage.ts'
import { json, plural, printable, progress } from '../cli/output.ts'
import { lagText } from '../cli/projectionLag.ts'

/** `verify` without options: is the read model what the events say? */
export async function verifyModel(settings: Settings, io: Io, asJson: boolean): Promise<ExitCode> {
  const bar = progress(io, 2)
  let phase = ''
  const found = await compareReadModel(settings, {
    log: logTo(io),
    onProgress(state) {
      if (state.phase !== phase) bar.step(state.phase, state.phase === 'folding' ? 'event' : 'document')
      phase = state.phase
      bar.at(null, state.count)
    },
  }).finally(bar.done)
  const { documents, differing, differences, refused, lags } = found
  const isNothing = isNothingCompared(lags)
  const isSound = differing === 0 && refused.events === 0 && !isNothing
  const compared = lags.map(({ projection: { name, version }, checkpoint, lag }) => ({
    projection: name,
    version,
    checkpoint,
    lag_events: lag,
  }))
  await io.write(
    asJson
      ? json({ ok: isSound, documents, differing, differences, refused, projections: compared })
      : reportOf(found),
  )
  if (isSound) return 0
  return isNothing ? 3 : 1
}

/** Are there events, and none of them in the read model? */
const isNothingCompared = (lags: ReadModelComparison['lags']): boolean =>
  lags.every(({ checkpoint, lag }) => checkpoint === null && lag > 0)

function reportOf(found: ReadModelComparison): string {
  const { differences, differing, refused } = found
  const lines = differences.map(({ collection, id, field, expected, found: there }) => {
    const what = field === null ? '' : ` ${field}`
    return `${collection} ${id}${what}: the events say ${JSON.stringify(expected)}, found ${JSON.stringify(there)}`
  })
  const shown = new Set(differences.map(({ collection, id }) => `${collection} ${id}`)).size
  if (differing > shown) lines.push(`and ${plural(differing - shown, 'document')} more`)
  lines.push(...refused.first.map(refusedText))
  const more = refused.events - refused.first.length
  if (more > 0) lines.push(`and ${plural(more, 'refused event')} more`)
  lines.push(...lagLines(found.lags), conclusionOf(found))
  return lines.map((line) => `${printable(line)}\n`).join('')
}

/** A line for each place at which projections are behind. Most of them are at the same one. */
function lagLines(lags: ReadModelComparison['lags']): string[] {
  const places = new Map<string, string[]>()
  for (const { projection, ...found } of lags) {
    if (found.lag === 0) continue
    const place = lagText(found)
    places.set(place, [...(places.get(place) ?? []), `${projection.name} v${projection.version}`])
  }
  return [...places].map(([place, names]) => `${place}: ${names.join(', ')}`)
}

function conclusionOf({ documents, differing, refused, lags }: ReadModelComparison): string {
  if (isNothingCompared(lags))
    return 'Nothing was compared: no event is in the read model yet. The service fills it when it is started.'
  if (differing > 0)
    return `${differing} of ${plural(documents, 'document')} differ. Fill them again with: tokenledger rebuild`
  const compared = `${plural(documents, 'document')} compared`
  const butFor = refused.events > 0 ? ', but for those that are refused' : ''
  if (lags.some(({ lag }) => lag > 0))
    return `${compared}: they are what the events up to there say${butFor}. The events behind that were not compared: the service projects them as it runs.`
  const [first] = lags
  const upTo = first?.checkpoint ? `, up to position ${first.checkpoint}` : ''
  return `${compared}${upTo}: the read model is what the events say${butFor}.`
}
