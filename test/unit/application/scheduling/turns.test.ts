import { setImmediate as nextTurn } from 'node:timers/promises'
import { expect } from 'chai'
import { giveWay } from '../../../../src/application/scheduling/turns.ts'

/** It takes longer than a piece of work may. */
function work(): void {
  const end = performance.now() + 4
  while (performance.now() < end);
}

/** The number of pieces in each turn of the loop, until `all` has ended. */
async function piecesPerTurn(start: (done: () => void) => Promise<unknown>): Promise<number[]> {
  const turns: number[] = []
  let pieces = 0
  let isOver = false
  const all = start(() => pieces++).finally(() => (isOver = true))
  while (!isOver) {
    await nextTurn()
    turns.push(pieces)
    pieces = 0
  }
  await all
  return turns
}

describe('Long work', () => {
  it('gets one turn of the event loop for each piece, however much of it there is', async () => {
    const turns = await piecesPerTurn((done) =>
      Promise.all(
        Array.from({ length: 20 }, async () => {
          for (let piece = 0; piece < 3; piece++) {
            await giveWay()
            work()
            done()
          }
        }),
      ),
    )
    expect(turns.reduce((sum, n) => sum + n)).to.equal(60)
    expect(Math.max(...turns)).to.equal(1)
  })

  it('goes on in its turn while that is short', async () => {
    work()
    await giveWay()
    expect(giveWay()).to.equal(null)
    work()
    expect(giveWay()).to.not.equal(null)
  })

  it('ends where it would go on, once it is aborted', () => {
    const reason = new Error('gone')
    expect(() => giveWay(AbortSignal.abort(reason))).to.throw('gone')
  })
})
