import type { DataType } from '../data-type.js'
import type { Tensor } from '../tensor.js'
import type { ArrayOperation } from './operations.js'
import * as operations from './operations.js'
import type { Shape } from './shapes.js'
import type { TracedArray } from './traced-array.js'
import { expectNumbers, expectScalar, type NumberType, type Promoted, promote } from './types.js'

/** The kinds of arrays: tensors, whose elements are there, and arrays of a trace, whose elements a program computes. */
export type Kind = 'tensor' | 'traced'

/** An array of a kind. */
export type ArrayOf<K extends Kind, T extends DataType = DataType> = K extends 'tensor' ? Tensor<T> : TracedArray<T>

/** A number beside arrays, which takes their type: a bigint for int64, a boolean for bool. */
export type Scalar = number | bigint | boolean

/** What stands beside an array in an operation: another of its kind, or a number. */
export type Beside<K extends Kind, T extends DataType = DataType> = ArrayOf<K, T> | Scalar

/** Functions of single elements: see {@link ArrayMethods}. */
export abstract class ElementwiseMethods<K extends Kind, T extends DataType> {
  /** The type of the elements. */
  abstract readonly dtype: T
  /** Sizes along the dimensions. */
  abstract readonly shape: Shape

  /** The result of an operation, on the device of its operands. @internal */
  abstract apply<U extends DataType>(operation: ArrayOperation<ArrayOf<K>, U>): ArrayOf<K, U>
  /** The same elements under another shape. @internal */
  protected abstract seenAs(shape: Shape): ArrayOf<K, T>
  /** A number as an array without dimensions. @internal */
  protected abstract scalar(value: Scalar, dtype: DataType): ArrayOf<K>

  /** The sum of both. */
  add<U extends DataType>(other: Beside<K, U>): ArrayOf<K, Promoted<T, U>> {
    return this.#binary('add', other)
  }

  /** The difference of both. */
  subtract<U extends DataType>(other: Beside<K, U>): ArrayOf<K, Promoted<T, U>> {
    return this.#binary('subtract', other)
  }

  /** The product of both, element by element. */
  multiply<U extends DataType>(other: Beside<K, U>): ArrayOf<K, Promoted<T, U>> {
    return this.#binary('multiply', other)
  }

  /** The quotient of both; of floats alone. */
  divide<U extends DataType>(other: Beside<K, U>): ArrayOf<K, Promoted<T, U>> {
    return this.#binary('divide', other)
  }

  /** The quotient of both, rounded down; of integers by zero 0. */
  floorDivide<U extends DataType>(other: Beside<K, U>): ArrayOf<K, Promoted<T, U>> {
    return this.#binary('floorDivide', other)
  }

  /** The rest of the division that rounds down, with the sign of the divisor. */
  remainder<U extends DataType>(other: Beside<K, U>): ArrayOf<K, Promoted<T, U>> {
    return this.#binary('remainder', other)
  }

  /** Elements to the power of the other's. */
  pow<U extends DataType>(other: Beside<K, U>): ArrayOf<K, Promoted<T, U>> {
    return this.#binary('pow', other)
  }

  /** The angle of the point (other, this), from -π to π; of floats alone. */
  atan2<U extends DataType>(other: Beside<K, U>): ArrayOf<K, Promoted<T, U>> {
    return this.#binary('atan2', other)
  }

  /** The larger of both; NaN where either is. */
  maximum<U extends DataType>(other: Beside<K, U>): ArrayOf<K, Promoted<T, U>> {
    return this.#binary('maximum', other)
  }

  /** The smaller of both; NaN where either is. */
  minimum<U extends DataType>(other: Beside<K, U>): ArrayOf<K, Promoted<T, U>> {
    return this.#binary('minimum', other)
  }

  /** Whether both are equal. */
  equal(other: Beside<K>): ArrayOf<K, 'bool'> {
    return this.#compare('equal', other)
  }

  /** Whether both differ. */
  notEqual(other: Beside<K>): ArrayOf<K, 'bool'> {
    return this.#compare('notEqual', other)
  }

  /** Whether this is less. */
  less(other: Beside<K>): ArrayOf<K, 'bool'> {
    return this.#compare('less', other)
  }

  /** Whether this is less or equal. */
  lessEqual(other: Beside<K>): ArrayOf<K, 'bool'> {
    return this.#compare('lessEqual', other)
  }

  /** Whether this is greater. */
  greater(other: Beside<K>): ArrayOf<K, 'bool'> {
    return this.#compare('greater', other)
  }

  /** Whether this is greater or equal. */
  greaterEqual(other: Beside<K>): ArrayOf<K, 'bool'> {
    return this.#compare('greaterEqual', other)
  }

  /** Whether both are other than 0. */
  logicalAnd(other: Beside<K>): ArrayOf<K, 'bool'> {
    return this.#compare('logicalAnd', other)
  }

  /** Whether one of both is other than 0. */
  logicalOr(other: Beside<K>): ArrayOf<K, 'bool'> {
    return this.#compare('logicalOr', other)
  }

  /** Whether one of both, but not the other, is other than 0. */
  logicalXor(other: Beside<K>): ArrayOf<K, 'bool'> {
    return this.#compare('logicalXor', other)
  }

  /** Whether elements are 0. */
  logicalNot(): ArrayOf<K, 'bool'> {
    return this.#test('logicalNot')
  }

  /** Whether elements are NaN. */
  isnan(): ArrayOf<K, 'bool'> {
    return this.#test('isnan')
  }

  /** Whether elements are neither NaN nor infinite. */
  isfinite(): ArrayOf<K, 'bool'> {
    return this.#test('isfinite')
  }

  /** Elements with the opposite sign. */
  negative(): ArrayOf<K, T> {
    return this.#unary('negative')
  }

  /** Elements without their sign. */
  abs(): ArrayOf<K, T> {
    return this.#unary('abs')
  }

  /** -1, 0 or 1 by the sign of elements. */
  sign(): ArrayOf<K, T> {
    return this.#unary('sign')
  }

  /** Elements times themselves. */
  square(): ArrayOf<K, T> {
    return this.#unary('square')
  }

  /** Square roots; of floats alone, as are all functions to {@link tanh}. */
  sqrt(): ArrayOf<K, T> {
    return this.#unary('sqrt')
  }

  /** 1 / x. */
  reciprocal(): ArrayOf<K, T> {
    return this.#unary('reciprocal')
  }

  /** e^x. */
  exp(): ArrayOf<K, T> {
    return this.#unary('exp')
  }

  /** e^x - 1, exact near 0. */
  expm1(): ArrayOf<K, T> {
    return this.#unary('expm1')
  }

  /** Natural logarithms. */
  log(): ArrayOf<K, T> {
    return this.#unary('log')
  }

  /** Natural logarithms of 1 + x, exact near 0. */
  log1p(): ArrayOf<K, T> {
    return this.#unary('log1p')
  }

  /** Logarithms to base 2. */
  log2(): ArrayOf<K, T> {
    return this.#unary('log2')
  }

  /** Sines, of radians. */
  sin(): ArrayOf<K, T> {
    return this.#unary('sin')
  }

  /** Cosines, of radians. */
  cos(): ArrayOf<K, T> {
    return this.#unary('cos')
  }

  /** Hyperbolic tangents. */
  tanh(): ArrayOf<K, T> {
    return this.#unary('tanh')
  }

  /** Rounded down. */
  floor(): ArrayOf<K, T> {
    return this.#unary('floor')
  }

  /** Rounded up. */
  ceil(): ArrayOf<K, T> {
    return this.#unary('ceil')
  }

  /** Rounded towards 0. */
  trunc(): ArrayOf<K, T> {
    return this.#unary('trunc')
  }

  /** Rounded to the nearest whole number, halves to the even one. */
  round(): ArrayOf<K, T> {
    return this.#unary('round')
  }

  /**
   * Elements as another type: floats become integers towards 0, numbers become bools by whether they are other than 0, and integers
   * keep the lower bits that fit.
   */
  astype<U extends NumberType>(dtype: U): ArrayOf<K, U> {
    if ((this.dtype as DataType) === dtype) return this as unknown as ArrayOf<K, U>
    return this.applied(operations.elementwise('copy', [this as unknown as Tensor], dtype))
  }

  /** This and another operand, in the type that both are promoted to; which kind they are of does not matter here. @internal */
  protected alike(name: string, other: unknown): [Tensor, Tensor] {
    const self = this as unknown as Tensor
    expectNumbers(name, this.dtype)
    if (typeof other !== 'object' || other === null) {
      expectScalar(name, other as Scalar, this.dtype)
      return [self, this.scalar(other as Scalar, this.dtype) as Tensor]
    }
    const array = other as Tensor
    const type = promote(name, this.dtype, array.dtype) as NumberType
    return [self.astype(type), array.astype(type)]
  }

  /** An operation of which the types do not matter here. @internal */
  protected applied<R>(operation: ArrayOperation<Tensor>): R {
    for (const { dtype } of operation.inputs) expectNumbers(operation.name.replace('array.', ''), dtype)
    return this.apply(operation as ArrayOperation as ArrayOperation<ArrayOf<K>>) as R
  }

  #unary(name: string): ArrayOf<K, T> {
    return this.applied(operations.elementwise(name, [this as unknown as Tensor], this.dtype))
  }

  #test(name: string): ArrayOf<K, 'bool'> {
    return this.applied(operations.elementwise(name, [this as unknown as Tensor], 'bool'))
  }

  #binary<R>(name: string, other: unknown): R {
    const [a, b] = this.alike(name, other)
    return this.applied(operations.elementwise(name, [a, b], a.dtype))
  }

  #compare(name: string, other: unknown): ArrayOf<K, 'bool'> {
    return this.applied(operations.elementwise(name, this.alike(name, other), 'bool'))
  }
}
