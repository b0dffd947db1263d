import { expect } from 'chai'
import { piecesOf } from '../../../../src/application/eventLog/pieces.ts'
import type { StoredEvent } from '../../../../src/domain/events.ts'

/** Events of these weights. */
const events = (...weights: number[]): StoredEvent[] =>
  weights.map((weight) => {
    const entries = Array.from({ length: weight }, () => ({}))
    return { type: weight === 1 ? 'TokenUsed' : 'TokensUsed', data: { entries } } as unknown as StoredEvent
  })

describe('Pieces of the log', () => {
  for (const [what, weights, pieces] of [
    ['are none where there is no event', [], []],
    [
      'are as heavy as they may be',
      [1, 1, 1, 1, 1],
      [
        [0, 3],
        [3, 5],
      ],
    ],
    [
      'count an event for what it holds',
      [1, 2, 2, 1, 1],
      [
        [0, 2],
        [2, 4],
        [4, 5],
      ],
    ],
    [
      'are one event where that alone is too heavy',
      [9, 1, 9, 9],
      [
        [0, 1],
        [1, 2],
        [2, 3],
        [3, 4],
      ],
    ],
  ] as const) {
    it(what, () => expect([...piecesOf(events(...weights), 3)]).to.deep.equal(pieces))
  }
})
