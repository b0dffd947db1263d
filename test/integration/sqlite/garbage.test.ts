import { spawnSync } from 'node:child_process'
import { cp, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect } from 'chai'
import { projections } from '../../../projections/index.ts'
import { openSqliteReadModel } from '../../../src/adapters/sqlite/readModel.ts'
import { countingTelemetry } from '../../support/stores/pieces.ts'
import {
  copyOfFolder,
  type Damage,
  DAMAGES,
  namesIn,
  type RebuiltFile,
  rebuiltFile,
} from '../../support/stores/offers.ts'
import { endServices, ownFolder } from '../../support/processes/service.ts'

const CHILD = fileURLToPath(new URL('./garbage.child.js', import.meta.url))
const sound = async (): Promise<void> => {}

describe('SQLite files with garbage in them', () => {
  let made: RebuiltFile

  before(async () => {
    made = await rebuiltFile(60)
  })
  after(endServices)

  describe('never end the process', () => {
    let folder: string

    before(async () => {
      folder = await ownFolder()
      for (const kind of ['events', 'live', 'half-filled', 'offered']) {
        const copy = await copyOfFolder(made.folder)
        if (kind === 'half-filled') await made.leaveHalfFilled(copy, sound)
        if (kind === 'offered') await made.offer(copy, sound, 'as it was')
        await cp(join(copy, 'data'), join(folder, kind), { recursive: true })
      }
    })

    for (const kind of ['events', 'live', 'half-filled', 'offered']) {
      it(`whichever column has text that is not UTF-8: ${kind}`, () => {
        const { stdout, stderr } = spawnSync(process.execPath, [CHILD, folder, kind], { timeout: 100_000 })
        const said = stdout.toString().trim().split('\n')
        expect(said.at(-1), stderr.toString().slice(0, 500)).to.equal('all')
        expect(said.length).to.be.above(10)
      })
    }
  })

  for (const vouch of ['as it was', 'as it is'] as const) {
    for (const [what, damage] of Object.entries(DAMAGES)) {
      // If a page holds damage that SQLite cannot see, the seal that is made before the page is read vouches for it.
      if (vouch === 'as it is' && what === 'a page of nothing') continue
      it(`are set aside by a service that they were left to, and named: ${what}, sealed ${vouch}`, async () => {
        const folder = await copyOfFolder(made.folder)
        const telemetry = countingTelemetry()
        const path = join(folder, 'data', 'read-model.db')
        const model = await openSqliteReadModel(path, { log: telemetry.log })
        await model.open(projections)
        await made.offer(folder, damage, vouch)
        expect(await model.handedOver()).to.equal(null)
        expect(await namesIn(folder)).to.deep.equal(['read-model.db.g2.aside'])
        expect(telemetry.errors).to.deep.equal([
          'a rebuilt read model is damaged: set aside, and not taken over',
        ])
        expect(await model.handedOver()).to.equal(null)
        expect(telemetry.errors).to.have.length(1)
        await model.close()
        await rm(folder, { recursive: true })
      })
    }
  }

  for (const [what, damage] of Object.entries(DAMAGES)) {
    it(`are looked through where a process was killed before it had taken them over: ${what}`, async () => {
      const folder = await copyOfFolder(made.folder)
      await made.offer(folder, damage, 'as it was')
      await rm(join(folder, 'data', 'read-model.db.g2.seal'))
      const model = await openSqliteReadModel(join(folder, 'data', 'read-model.db'))
      await model.open(projections)
      expect(await model.handedOver()).to.equal(null)
      expect(await namesIn(folder)).to.deep.equal(['read-model.db.g2.aside'])
      await model.close()
    })

    // A run that was killed before it wrote anything leaves such a file, too.
    const isBlank = what === 'nothing in it'
    it(`are ${isBlank ? 'not ' : ''}set aside by a rebuild, which begins anew: ${what}`, async () => {
      const folder = await copyOfFolder(made.folder)
      await made.leaveHalfFilled(folder, damage)
      const telemetry = countingTelemetry()
      const path = join(folder, 'data', 'read-model.db')
      const model = await openSqliteReadModel(path, { readOnly: true, log: telemetry.log })
      await model.open(projections)
      const next = await model.next(projections)
      for (const one of projections) expect(await next.checkpoint(one)).to.equal(null)
      expect((await namesIn(folder)).includes('read-model.db.g2.aside')).to.equal(!isBlank)
      expect(telemetry.errors).to.have.length(isBlank ? 0 : 1)
      await next.close()
      await model.close()
    })
  }

  it('are no files that are sound', async () => {
    const folder = await copyOfFolder(made.folder)
    const model = await openSqliteReadModel(join(folder, 'data', 'read-model.db'))
    await model.open(projections)
    await made.offer(folder, sound, 'as it was')
    const next = await model.handedOver()
    expect(await next?.startDualWrites()).to.equal('started')
    expect(await next?.promote()).to.equal(true)
    await next?.close()
    expect(await namesIn(folder)).to.not.include('read-model.db.g2.aside')
    await model.close()
  })

  it('are looked through again when another one of that name is offered', async () => {
    const folder = await copyOfFolder(made.folder)
    const { log } = countingTelemetry()
    const model = await openSqliteReadModel(join(folder, 'data', 'read-model.db'), { log })
    await model.open(projections)
    await made.offer(folder, sound, 'as it was')
    const next = await model.handedOver()
    await next?.close()
    // It has lost its seal by being opened once, but this process knows it.
    await (await model.handedOver())?.close()
    await made.offer(folder, DAMAGES['nothing like a database'] as Damage, 'as it was')
    expect(await model.handedOver()).to.equal(null)
    expect(await namesIn(folder)).to.deep.equal(['read-model.db.g2.aside'])
    await model.close()
  })
})
