// Online linear regression: recursive least squares with exponential forgetting (e.g. Haykin,
// Adaptive Filter Theory, ch. "The Recursive Least-Squares Algorithm"):
//
//     k = P x / (l + x' P x),   w += k (y - w' x),   P = (P - k x' P) / l
//
// Fixed size, no allocation. The covariance is kept from growing without bound where a feature
// hardly varies, which forgetting alone would let it do.
#pragma once

#include <Eigen/Core>
#include <algorithm>

namespace vsmp::locality {

inline constexpr int kFeatures = 16;
using Features = Eigen::Matrix<float, kFeatures, 1>;

class LinearModel {
  public:
    static constexpr float kPrior = 0.05F;       // initial variance of a weight
    static constexpr float kForgetting = 0.98F;  // a sample counts half after some 34 others
    static constexpr float kErrorMemory = 16;    // samples
    static constexpr float kBetter = 0.8F;
    static constexpr float kMaxTrace = 4 * kPrior * kFeatures;

    LinearModel() { reset(); }
    void reset() {
        weights_.setZero();
        covariance_ = Covariance::Identity() * kPrior;
        error_ = error_of_zero_ = 0;
    }

    // Zero unless it has been better than that lately.
    float predict(const Features& x) const {
        return error_ < kBetter * error_of_zero_ ? weights_.dot(x) : 0;
    }

    void learn(const Features& x, float y) {
        const float miss = y - std::clamp(weights_.dot(x), -1.0F, 1.0F);
        error_ += (miss * miss - error_) / kErrorMemory;
        error_of_zero_ += (y * y - error_of_zero_) / kErrorMemory;
        const Features px = covariance_ * x;
        const Features gain = px / (kForgetting + x.dot(px));
        weights_ += gain * (y - weights_.dot(x));
        covariance_ = (covariance_ - gain * px.transpose()) / kForgetting;
        // Rounding must not make it lopsided.
        covariance_ = (0.5F * (covariance_ + covariance_.transpose())).eval();
        const float trace = covariance_.trace();
        if (trace > kMaxTrace) covariance_ *= kMaxTrace / trace;
    }

    // The world has changed: what is known stays as the guess, but gives way quickly.
    void doubt() { covariance_.diagonal().array() += kPrior; }

    // What travels with a vCPU: the weights, and how sure each one is by itself.
    const Features& weights() const { return weights_; }
    Features variances() const { return covariance_.diagonal(); }
    float error() const { return error_; }
    float error_of_zero() const { return error_of_zero_; }
    void restore(const Features& weights, const Features& variances, float error,
                 float error_of_zero) {
        error_ = error;
        error_of_zero_ = error_of_zero;
        weights_ = weights;
        covariance_ = variances.cwiseMax(1e-6F).cwiseMin(kMaxTrace).asDiagonal();
    }

  private:
    using Covariance = Eigen::Matrix<float, kFeatures, kFeatures>;
    Features weights_;
    float error_ = 0, error_of_zero_ = 0;  // mean squares, of its predictions and of none
    Covariance covariance_;
};

}  // namespace vsmp::locality
