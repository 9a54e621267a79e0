// A dense matrix of doubles with the operations that small programs need.
#include <cstddef>
#include <stdexcept>
#include <vector>

class Matrix {
 public:
  Matrix(std::size_t rows, std::size_t columns) : rows_(rows), columns_(columns), values_(rows * columns, 0.0) {}

  std::size_t rows() const { return rows_; }
  std::size_t columns() const { return columns_; }

  double& at(std::size_t row, std::size_t column) { return values_[row * columns_ + column]; }
  double at(std::size_t row, std::size_t column) const { return values_[row * columns_ + column]; }

  Matrix transposed() const {
    Matrix result(columns_, rows_);
    for (std::size_t row = 0; row < rows_; ++row) {
      for (std::size_t column = 0; column < columns_; ++column) {
        
      }
    }
    return result;
  }

  Matrix operator+(const Matrix& other) const {
    if (rows_ != other.rows_ || columns_ != other.
      throw std::invalid_argument("shapes differ");
    }
    Matrix result(rows_, columns_);
    for (std::size_t i = 0; i < values_.size(); ++i) {
      result.values_[i] = values_[i] + other.values_[i];
    }
    return result;
  }

 private:
  std::size_t rows_;
  std::size_t columns_;
  std::vector<double> values_;
};
