import test from 'ava'
import { AnswerStyles } from './styles.js'

/** An answer in pieces, with styles as letters: b for bold, c for code, - for none. */
function shown(...pieces: string[]): string {
  const styles = new AnswerStyles()
  const text = pieces.map((piece) => styles.content(piece)).join('') + styles.end()
  return text.replaceAll('\x1b[0m', '<->').replaceAll('\x1b[1m', '<b>').replaceAll('\x1b[36m', '<c>')
}

test('Markdown stays as it is written, with bold text and code in styles, however it is cut', (t) => {
  t.is(shown('a **b** `c` d'), 'a <-><b>**b**<-> <-><c>`c`<-> d<->')
  t.is(shown('a *', '*b*', '* `', 'c` d'), shown('a **b** `c` d'))
  t.is(shown('x\n```js\na ** b\n```\ny'), 'x\n<-><c>```js\na ** b\n```<->\ny<->')
  t.is(shown('x\n`', '``js\na ** b\n``', '`\ny'), shown('x\n```js\na ** b\n```\ny'))
})

test('bold text and code that do not end do so with the line, and a style does not outlive the answer', (t) => {
  t.is(shown('2 ** 3\nnext'), '2 <-><b>** 3\n<->next<->')
  t.is(shown('a ` b\nnext'), 'a <-><c>` b\n<->next<->')
  t.is(shown('```\nrest'), '<-><c>```\nrest<->')
  t.is(shown('ends **'), 'ends <-><b>**<->')
})

test('controls in an answer do not reach the terminal', (t) => {
  t.is(shown('a\x1b[2Jb\x07\r\x9bc\td'), 'a[2Jbc\td<->')
  t.is(new AnswerStyles().reasoning('\x1b]0;x\x07'), '\x1b[2m]0;x\x1b[0m')
})
